"""Installs the package. `conf/constraints.txt` pins what was tested together; the ranges here say what can work."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="seqrec",
    version="0.1.0",
    description="Sequence-aware recommenders from the full Amazon review dump: Spark, Petastorm, Horovod, TensorFlow",
    long_description=(Path(__file__).parent / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["seqrec", "seqrec.*"]),
    package_data={"seqrec": ["py.typed", "sources/*.yaml", "evaluation/*.html"]},
    # petastorm 0.12.1 imports distutils, which Python 3.12 no longer has.
    python_requires=">=3.10,<3.12",
    install_requires=[
        "pyspark>=3.5.0,<3.6",  # Spark 4 wants a newer pyarrow than petastorm can live with.
        "pyarrow>=14.0.1,<15",  # 15 breaks petastorm; below 14.0.1 has CVE-2023-47248.
        "numpy>=1.23,<2",  # petastorm and pyarrow 14 are built for numpy 1.
        "pandas>=1.5.3,<3",
        "petastorm==0.12.1",  # 0.13 loses rows; see docs.
        "tensorflow>=2.16,<2.19",  # horovod does not compile against 2.19.
        "setuptools<70",  # petastorm still imports pkg_resources.
        "pydantic>=2.6,<3",
        "pyyaml>=6",
        "tqdm>=4.60",
        "rich>=13",
        "matplotlib>=3.7",
        "psutil>=5.9",
        "requests>=2.28",
        "rapidgzip>=0.14",
        "zstandard>=0.20",
        "optuna>=5,<6",
    ],
    extras_require={
        # Built from source against the installed tensorflow: spark-submit.sh does it; see README.
        "horovod": ["horovod>=0.28.1,<0.29"],
        "mlflow": ["mlflow-skinny>=2.10,<4"],
        "dev": [
            "pytest>=8",
            "pytest-xdist>=3.5",
            "hypothesis>=6.90",
            "ruff>=0.6",
            "mypy>=1.8",
            "scikit-learn>=1.3",
            "types-PyYAML",
            "types-requests",
            "types-tqdm",
        ],
    },
)
