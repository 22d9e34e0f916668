# The gate as a container: one binary on a base without a shell, as a user that owns nothing but its socket folder.
#
#   docker build -t tollgate .
#   docker run --read-only -v ./policy.yaml:/etc/tollgate/policy.yaml:ro -v tollgate-run:/run/tollgate tollgate
#
# The process writes nothing but the sockets in /run/tollgate: a read-only root file system is fine. Secrets are
# mounted as files and named in the configuration; none is ever built in. BuildKit is needed for the cache mounts.

FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --profile image --locked --bin tollgate \
    && install -D -m 0755 target/image/tollgate /image/usr/local/bin/tollgate \
    && install -D -m 0644 LICENSE /image/usr/share/doc/tollgate/LICENSE \
    && install -d -m 0770 /image/run/tollgate

# glibc and nothing else. The tag moves with Debian's security updates on purpose; pin its digest where you deploy.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /image/usr/ /usr/
# Where the sockets go. A named volume that is made anew takes over this owner.
COPY --from=build --chown=65532:65532 /image/run/tollgate /run/tollgate
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
ENV TOLLGATE_CONFIG=/etc/tollgate/policy.yaml
# Check over TCP where the policy asks for it, and the probes. The control listener is loopback only.
EXPOSE 9191 9100
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["/usr/local/bin/tollgate", "health"]
ENTRYPOINT ["/usr/local/bin/tollgate"]
CMD ["serve"]
