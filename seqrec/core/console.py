"""Tables for people."""

from rich.console import Console
from rich.table import Table


def print_table(table: Table) -> None:
    """Shows a table on the screen; without a screen, as wide as it needs to be."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(80, table.__rich_measure__(console, console.options.update(width=400)).maximum))
    console.print(table)
