# seqrec on CPUs, with Horovod built in, run by a user without rights:
#
#   docker build -t seqrec .
#   docker run --rm -v "$PWD/work:/work" seqrec pipeline --config conf/demo.yaml --set workdir=/work
#
# The folder for /work must be writable for user 10001. Python and its place are the same in both stages: the environment
# that the first one makes holds in the second.
FROM python:3.11-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends g++ make && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/seqrec
COPY README.md setup.py pyproject.toml spark-submit.sh ./
COPY conf conf
COPY jobs jobs
COPY seqrec seqrec
# No Java is here, so one from PyPI goes into the environment. The caches stay in this stage.
RUN SEQREC_TENSORFLOW=cpu bash conf/environment.sh python -m seqrec.training.workers.horovod_build

FROM python:3.11-slim-bookworm
# LightGBM's wheel has no OpenMP of its own.
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home seqrec && mkdir /work && chown seqrec /work
COPY --from=build /opt/seqrec /opt/seqrec
WORKDIR /opt/seqrec
USER seqrec
VOLUME /work
ENTRYPOINT ["./spark-submit.sh"]
CMD ["--help"]
