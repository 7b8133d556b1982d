"""Tables on the screen."""

from rich.console import Console
from rich.table import Table


def print_table(table: Table) -> None:
    """Prints a table as wide as the screen; into a pipe or a file as wide as the table needs to be."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(80, table.__rich_measure__(console, console.options.update(width=400)).maximum))
    console.print(table)
