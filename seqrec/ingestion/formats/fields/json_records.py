"""One JSON object per line, parsed strictly in one pass."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from seqrec.core.columns import LINE

_CORRUPT = "corrupt"
_STRICT = {"allowNonNumericNumbers": "false", "allowSingleQuotes": "false"}  # As the JSON standard has it.


def with_json_record(lines: DataFrame, fields: str, max_bytes: int, text: str = LINE) -> DataFrame:
    """Adds `record`, a struct of `fields`, and `problem`: null, or why the line is not such a record.

    Spark's parser stops at the end of the first value of a line, and would lose whatever stands after it, such as a
    second review where a newline is missing. So the line is parsed as the only element of a list: the list must
    close where the line ends.

    Args:
        fields: the struct's fields in Spark's notation, `name:type, ...`; others are not read.
        text: the column that holds the JSON.
    """
    wrapped = F.concat(F.lit('{"lines":['), F.col(text), F.lit("]}"))
    bounded = F.when(F.octet_length(text) <= max_bytes, wrapped)
    schema = f"lines array<struct<{fields}>>, {_CORRUPT} string"
    options = _STRICT | {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": _CORRUPT}
    first = F.get("parsed.lines", 0)  # With spark.sql.ansi.enabled, [0] would end the job at the first blank line.
    return (
        lines.withColumn("parsed", F.from_json(bounded, schema, options))
        .withColumn("record", first)
        .withColumn("problem", _problem(F.col(text), max_bytes))
    )


def _problem(text: Column, max_bytes: int) -> Column:
    is_broken = F.col("parsed.corrupt").isNotNull()
    # A broken line is rare: only then is it worth a second look, at whether it starts with an object.
    has_object = text.startswith("{") & F.from_json(text, "map<string, string>", _STRICT).isNotNull()
    return (
        F.when(F.octet_length(text) > max_bytes, "too_long")
        .when(is_broken & has_object & text.rlike(r"\}\s*\{"), "several_records")
        .when(is_broken & has_object & F.rtrim(text).endswith("}"), "wrong_type")
        .when(is_broken, "malformed")
        .when(F.size("parsed.lines") > 1, "several_records")
        .when(F.col("record").isNull(), "malformed")
    )
