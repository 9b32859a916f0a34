# The service with its playground: one program, no shell, no root.
#
#   docker build --tag colophon .
#   docker run --rm colophon token --name me --scope books:read --scope books:write
#   docker run --read-only --publish 127.0.0.1:8000:8000 --volume colophon:/data \
#     --volume ./tokens:/tokens:ro --env COLOPHON_TOKENS_FILE=/tokens colophon
#
# The first makes a token and a line for the file `tokens`. It serves at every address of the container,
# so that it wants to know who may ask; `--env COLOPHON_INSECURE_OPEN=true` says everybody may whom the
# published port reaches. The admin listener stays within the container; for scrapes and probes from
# outside set COLOPHON_ADMIN_LISTEN=0.0.0.0:9464 and COLOPHON_ADMIN_TOKEN.
#
# The program is built twice, with a load between (scripts/release). `--build-arg GUIDED=false` spares that,
# for more CPU time of each request.

FROM node:24.11-bookworm-slim AS node

FROM otel/opentelemetry-collector-contrib:0.152.0 AS collector

FROM rust:1.95-bookworm AS build
# For the playground, which the build embeds.
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=node /usr/local/lib/node_modules /usr/local/lib/node_modules
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
# What the load takes. None of it gets into the image.
COPY --from=collector /otelcol-contrib /usr/local/bin/otelcol-contrib
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends postgresql postgresql-client python3 wrk \
    && rm -rf /var/lib/apt/lists/* \
    && rustup component add llvm-tools
WORKDIR /build
# A missing playground is an error.
ENV COLOPHON_REQUIRE_PLAYGROUND=1
COPY . .
ARG GUIDED=true
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build/target \
    if [ "$GUIDED" = true ]; then program=$(scripts/release); \
    else cargo build --release --locked --bin colophon && program=target/release/colophon; fi \
    && mkdir /built && cp "$program" /built/colophon \
    && if [ -e "$program.debug" ]; then cp "$program.debug" /built/; fi \
    && mkdir /data

FROM gcr.io/distroless/cc-debian12:nonroot
# With a file of its symbols, for /debug/tasks and profiles.
COPY --from=build /built /usr/local/bin
# The database's folder, where SQLite is used. A volume takes over the owner.
COPY --from=build --chown=nonroot:nonroot /data /data
VOLUME /data
ENV DATABASE_URL=sqlite:///data/colophon.db?mode=rwc \
    COLOPHON_LISTEN=0.0.0.0:8000
EXPOSE 8000 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["colophon", "health"]
# nonroot, as Kubernetes wants to have it.
USER 65532
ENTRYPOINT ["colophon"]
CMD ["serve"]
