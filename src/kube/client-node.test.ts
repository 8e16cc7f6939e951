import { registerHooks } from "node:module";

import { expect, it } from "vitest";

import { importKubeConfig } from "./client-node.ts";

it("reads kubeconfigs without loading the generated API", async () => {
  const loaded: string[] = [];
  const hooks = registerHooks({
    load: (url, context, next) => {
      loaded.push(url);
      return next(url, context);
    },
  });
  const KubeConfig = await importKubeConfig();
  hooks.deregister();
  expect(loaded.some((url) => url.endsWith("/client-node/dist/config.js"))).toBe(true);
  expect(loaded.filter((url) => /\/client-node\/dist\/gen\/(?:apis|models)\//.test(url))).toEqual([]);

  const config = new KubeConfig();
  config.loadFromClusterAndUser(
    { name: "c", server: "https://127.0.0.1:1", skipTLSVerify: false },
    { name: "u", token: "t" },
  );
  const options = { headers: {} as Record<string, string> };
  await config.applyToHTTPSOptions(options);
  expect(options.headers).toMatchObject({ Authorization: "Bearer t" });
});
