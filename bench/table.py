"""Rows of figures as tables in Markdown, which read well on a terminal, too."""


def milliseconds(seconds):
    return f"{seconds * 1000:,.1f} ms" if seconds < 0.1 else f"{seconds * 1000:,.0f} ms"


def ratio(value):
    return f"{value:.2f} x"


def mebibytes(count):
    return f"{count / (1 << 20):,.1f} MiB"


def nanoseconds(seconds):
    return f"{seconds * 1e9:,.1f} ns"


def count(number):
    return f"{number:,}"


def millions(number):
    return f"{number / 1e6:,.1f} M"


def cell(row, key, form):
    value = row.get(key)
    return "-" if value is None else form(value)


def table(columns, rows):
    """`columns` are (heading, key, form). The first column is text, the others are figures."""
    lines = [[heading for heading, _, _ in columns]]
    lines += [[cell(row, key, form) for _, key, form in columns] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    rule = ["-" * widths[0], *["-" * (width - 1) + ":" for width in widths[1:]]]
    lines.insert(1, rule)
    return "\n".join(
        "| " + " | ".join([line[0].ljust(widths[0]),
                           *[text.rjust(width) for text, width in zip(line[1:], widths[1:])]]) + " |"
        for line in lines)
