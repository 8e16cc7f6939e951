import js from "@eslint/js";
import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

export default defineConfig(
  globalIgnores(["dist/", "node_modules/", "coverage/", "src/api/v1alpha1/generated/"]),
  js.configs.recommended,
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/switch-exhaustiveness-check": "error",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/no-unused-vars": ["error", { varsIgnorePattern: "^_", argsIgnorePattern: "^_" }],
      "no-console": "error",
      eqeqeq: "error",
    },
  },
  {
    // eviction/ is the only caller: what is judged, confirmed and fenced there can not be gone around.
    files: ["src/**/*.ts"],
    ignores: ["src/eviction/**", "src/registry/**", "src/**/*.test.ts"],
    rules: {
      "no-restricted-syntax": [
        "error",
        ...[
          // Under whatever name the adapter is held.
          'MemberExpression[property.name="deregister"]',
          'MemberExpression[property.value="deregister"]',
          'ObjectPattern > Property[key.name="deregister"]',
          // Other things are quarantined and released too.
          "MemberExpression[object.name=/adapter$/i][property.name=/^(quarantine|release)$/]",
          "MemberExpression[object.property.name=/adapter$/i][property.name=/^(quarantine|release)$/]",
        ].map((selector) => ({
          selector,
          message: "Only src/eviction removes, quarantines or releases what a registry lists.",
        })),
      ],
    },
  },
  {
    files: ["test/**/*.ts", "scripts/**/*.ts"],
    rules: {
      "no-console": "off",
      // A test may say what an index holds.
      "@typescript-eslint/non-nullable-type-assertion-style": "off",
    },
  },
);
