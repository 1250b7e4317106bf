# The image of OrbitStream: the server and the simulator, for a database of its own (DATABASE_URL).
#
#   build          everything that compiles the program
#   dependencies   what it needs to run; no embedded PostgreSQL, which would be 60 MB that nobody uses
#   (last stage)   both without the rest, for a user who is not root
#
# Debian, not Alpine: the binaries of uWebSockets.js want glibc.

FROM node:22.23.2-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY protocol protocol
COPY lib lib
RUN npm run build

FROM node:22.23.2-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# The embedded PostgreSQL is an optional package; scripts would build what the stage before has built.
RUN npm ci --omit=dev --omit=optional --ignore-scripts
# Binaries for other systems and versions of Node.js: 120 MB.
RUN find node_modules/uWebSockets.js/dist/bin -name '*.node' ! -name "uws_linux_*_$(node -p process.versions.modules).node" -delete

FROM node:22.23.2-bookworm-slim
ENV NODE_ENV=production
ENV DATA_DIR=/data
ENV PATH=/app/bin:$PATH
WORKDIR /app
COPY package.json LICENSE ./
COPY bin bin
COPY sql sql
# The user below may read them, however strict the umask was under which they were cloned.
RUN chmod -R a+rX package.json LICENSE bin sql
COPY --from=dependencies /app/node_modules node_modules
COPY --from=build /app/dist dist
# The spool and the instance's id: keep them in a volume.
RUN mkdir -m 700 /data && chown node:node /data
VOLUME /data
USER node
EXPOSE 8080 8081/udp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --retries=3 CMD ["orbitstream-ingest", "health"]
CMD ["orbitstream-ingest", "start"]
