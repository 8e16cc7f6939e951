# Base images are arguments, so that a mirror or a hardened image can take their place. Both need node 24 on PATH.
ARG BUILD_IMAGE=docker.io/library/node:24-bookworm-slim
ARG RUNTIME_IMAGE=docker.io/library/node:24-bookworm-slim

FROM ${BUILD_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --no-audit --no-fund

FROM ${BUILD_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN npm run build

FROM ${RUNTIME_IMAGE}
WORKDIR /app
ENV NODE_ENV=production
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
# package.json says that dist/ holds ES modules.
COPY package.json LICENSE ./
# What --version, the log and hygeia_build_info show: --build-arg COMMIT=$(git rev-parse HEAD)
ARG COMMIT=
ENV HYGEIA_COMMIT=${COMMIT}
# A number, so that Kubernetes can check runAsNonRoot. Nothing is written to disk: the root file system may be read-only.
USER 65532:65532
EXPOSE 8080 8081 9443
ENTRYPOINT ["node", "--enable-source-maps", "dist/main.js"]
