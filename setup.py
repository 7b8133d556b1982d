"""Installs the package. `conf/constraints.txt` pins what was tested together; the ranges here say what can work.

SEQREC_RUNTIME=databricks leaves out what the Databricks ML runtime has: pip would put another TensorFlow and Spark
over those that its Horovod was built for. docs/databricks.md says more.
"""

import os
from pathlib import Path

from setuptools import find_packages, setup

JOBS = sorted(path.stem for path in (Path(__file__).parent / "jobs").glob("*.py") if path.stem != "__init__")
ON_LINUX_CPU = "sys_platform == 'linux' and platform_machine == 'x86_64'"  # Where tensorflow-cpu has wheels.
CORE = [
    "pyarrow>=14.0.1,<15",  # 15 breaks petastorm; below 14.0.1 has CVE-2023-47248.
    "numpy>=1.23,<2",  # petastorm and pyarrow 14 are built for numpy 1.
    "pandas>=1.5.3,<3",  # petastorm and pyarrow 14 are built for pandas 1 and 2.
    "pydantic>=2.6,<3",  # A major version changes the messages, which config.py reads.
    "pyyaml>=6",
    "tqdm>=4.60",
    "rich>=13",
    "matplotlib>=3.7",
    "psutil>=5.9",
    "requests>=2.28",
    "urllib3>=1.26",  # Its `Retry`; requests brings it.
    "isal>=1.6",  # Half of zlib's time for a .gz; where it is missing zlib is used.
    "rapidgzip>=0.14",
    "zstandard>=0.20",
    "optuna>=5,<6",  # A major version changes the samplers, so the trials of a study that is resumed.
]
SPARK = [
    "pyspark>=3.5.0,<4.1",  # Later ones want a newer pyarrow than petastorm can live with.
    "setuptools<70",  # Its `distutils` is what pyspark and petastorm import; Python 3.12 has none.
]
FEED = [
    "petastorm==0.12.1",  # 0.13 loses rows; see docs.
    "setuptools<70",  # petastorm still imports pkg_resources.
    # Horovod is built when several workers are first wanted (seqrec/training/workers/horovod_build.py), by these.
    "wheel",
    "pip",
    "cloudpickle",
    "packaging",
]
# Horovod does not compile against tensorflow 2.19.
TRAIN = [
    *FEED,
    f"tensorflow-cpu>=2.16,<2.19; {ON_LINUX_CPU}",  # A third of the size of tensorflow, which has CUDA's code too.
    "tensorflow>=2.16,<2.19; sys_platform != 'linux' or platform_machine != 'x86_64'",
]
IN_DATABRICKS = {"pyarrow", "numpy", "pandas", "tqdm", "matplotlib", "psutil", "pyyaml", "requests", "urllib3"}
INDEX = ["faiss-cpu>=1.12"]  # Approximate indexes of item vectors.
RANKER = ["lightgbm>=4.3"]  # The trees of the learned last stage.


def requirements(runtime: str) -> list[str]:
    if runtime not in ("", "databricks"):
        raise SystemExit(f"SEQREC_RUNTIME is {runtime!r}: leave it out, or set it to databricks.")
    left_out = tuple(IN_DATABRICKS) if runtime else ()
    return [line for line in CORE if not line.startswith(left_out)]


setup(
    name="seqrec",
    version="0.1.0",
    description="Sequence-aware recommenders from the full Amazon review dump: Spark, Petastorm, Horovod, TensorFlow",
    long_description=(Path(__file__).parent / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    # A wheel has no checkout beside it: the jobs and the configs go inside the package.
    packages=[*find_packages(include=["seqrec", "seqrec.*"]), "seqrec.jobs", "seqrec.conf"],
    package_dir={"seqrec.jobs": "jobs", "seqrec.conf": "conf"},
    package_data={
        "seqrec": ["py.typed", "ingestion/compiled/*.[ch]", "ingestion/download/*.yaml", "evaluation/report/*.html"],
        "seqrec.conf": ["*.yaml", "log4j2.properties"],
    },
    # `seqrec JOB ...` submits as ./spark-submit.sh does; a Databricks python_wheel_task finds the others by name.
    entry_points={
        "console_scripts": [
            "seqrec = seqrec.pipeline.console:main",
            *(f"seqrec-{job} = seqrec.pipeline.console:run_named" for job in JOBS),
        ],
        "seqrec.jobs": [f"{job} = seqrec.jobs.{job}:main" for job in JOBS],
    },
    python_requires=">=3.10,<3.13",  # pyarrow 14 and tensorflow 2.18 have no wheels for 3.13.
    install_requires=requirements(os.environ.get("SEQREC_RUNTIME", "")),
    extras_require={
        "spark": SPARK,  # Everything but training: synthesize, ingest, prepare.
        "train": TRAIN,
        "gpu": [*FEED, "tensorflow[and-cuda]>=2.16,<2.19"],  # In the place of `train`, on machines with an NVIDIA GPU.
        "recommend": [*INDEX, *RANKER],
        "index": INDEX,
        "ranker": RANKER,
        "mlflow": ["mlflow-skinny>=2.10"],
        "dev": [
            "pytest>=8",
            "pytest-xdist>=3.5",
            "hypothesis>=6.90",
            *RANKER,
            "ruff>=0.6",
            "mypy>=1.8",
            "scikit-learn>=1.3",
            "scipy>=1.10",
            "types-PyYAML",
            "types-requests",
            "types-tqdm",
        ],
    },
)
