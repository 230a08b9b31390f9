# SPDX-License-Identifier: Apache-2.0
"""The demo's chart for a terminal: curves in braille dots, redrawn in place. Pure but for Screen."""

import os
import shutil

BLANK = 0x2800
# The bit of each dot of a braille cell, by column and row.
DOT = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))

COLOURS = {"off": "38;5;208", "stock": "38;5;75", "patched": "38;5;43", "dim": "2", "bold": "1"}


class Paint:
    """Colours a string, or leaves it where the terminal or its owner wants none."""

    def __init__(self, stream):
        self.on = stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"

    def __call__(self, style, text):
        return f"\x1b[{COLOURS[style]}m{text}\x1b[0m" if self.on and text else text


class Canvas:
    """Cells of 2 × 4 dots. A cell has one colour, that of who drew in it last."""

    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.bits = [[0] * columns for _ in range(rows)]
        self.style = [[None] * columns for _ in range(rows)]

    def dot(self, x, y, style):
        """x from the left, y from the bottom, in dots; what is outside is not drawn."""
        column, row = x // 2, self.rows - 1 - y // 4
        if 0 <= column < self.columns and 0 <= row < self.rows:
            self.bits[row][column] |= DOT[x % 2][3 - y % 4]
            self.style[row][column] = style

    def line(self, x0, y0, x1, y1, style):
        steps = max(abs(x1 - x0), abs(y1 - y0), 1)
        for i in range(steps + 1):
            self.dot(round(x0 + (x1 - x0) * i / steps), round(y0 + (y1 - y0) * i / steps), style)

    def text(self, row, paint):
        """One row, with as few colour changes as it takes."""
        out, run, style = [], "", None
        for bits, its in zip(self.bits[row], self.style[row]):
            if its != style:
                out.append(paint(style, run) if style else run)
                run, style = "", its
            run += chr(BLANK + bits) if bits else " "
        out.append(paint(style, run) if style else run)
        return "".join(out)


def place(words, width):
    """
    Puts (column, text, side) on one line: side is "<" for a text that ends at its column, "^" for one centred on it,
    ">" for one that starts there. What does not fit beside those named before it is left out.
    """
    line = [" "] * width
    for column, text, side in words:
        start = column - {"<": len(text) - 1, "^": len(text) // 2, ">": 0}[side]
        start = min(max(start, 0), width - len(text))
        around = line[max(start - 1, 0):start + len(text) + 1]
        if not "".join(around).strip():
            line[start:start + len(text)] = text
    return "".join(line)


def sides(first, second, room):
    """
    On which sides of two marks their texts stand, as place() has it: between the marks where these are `room` apart,
    else outside of them. All in the same unit.
    """
    return (">", "<") if second - first >= room else ("<", ">")


def step_of(span, most):
    """The round distance between ticks that makes at most this many."""
    for step in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600):
        if span / step <= most:
            return step
    return 1200


def chart(runs, paint, columns, rows, top, ticks, span, labels):
    """
    Draws the chart's lines.

    runs    {style: [(seconds, value), ...]}, drawn in this order
    top     the value at the upper edge; ticks: the values that get a label
    span    (first, last) seconds
    labels  [(seconds, text, side)]: upright dotted lines, their texts above; see place()
    """
    margin = 6
    width = max(columns - margin - 2, 20)
    canvas = Canvas(width, rows)
    high, wide = rows * 4 - 1, width * 2 - 1
    first, last = span

    def x_of(seconds):
        return round((seconds - first) / (last - first) * wide)

    def y_of(value):
        return round(value / top * high)

    for seconds, _, _ in labels:
        for y in range(0, high + 1, 2):
            canvas.dot(x_of(seconds), y, "dim")
    for style, points in runs.items():
        for (s0, v0), (s1, v1) in zip(points, points[1:]):
            canvas.line(x_of(s0), y_of(v0), x_of(s1), y_of(v1), style)

    tick_row = {rows - 1 - y_of(value) // 4: value for value in ticks}
    lines = [" " * (margin + 1) + paint("dim", place([(x_of(s) // 2, text, side) for s, text, side in labels], width))]
    for row in range(rows):
        label = f"{tick_row[row]:>{margin - 1}} ┤" if row in tick_row else " " * margin + "│"
        lines.append(paint("dim", label) + canvas.text(row, paint))
    axis = ["─"] * width
    step = step_of(last - first, width // 8)
    marks = [second for second in range(int(first) - 1, int(last) + 1) if first <= second and second % step == 0]
    for second in marks:
        axis[min(x_of(second) // 2, width - 1)] = "┬"
    lines.append(paint("dim", " " * margin + "└" + "".join(axis)))
    words = place([(x_of(second) // 2, f"{second:+d}" if second else "0", "^") for second in marks], width)
    lines.append(paint("dim", " " * (margin + 1) + words))
    return lines


class Screen:
    """Lines at the end of a terminal, drawn over and over in the same place."""

    def __init__(self, stream):
        self.stream, self.drawn = stream, 0

    def size(self):
        return shutil.get_terminal_size((80, 24))

    def draw(self, lines):
        out = ["\x1b[?25l", f"\x1b[{self.drawn}A" if self.drawn else "", "\r"]
        out += [line + "\x1b[K\n" for line in lines]
        out.append("\x1b[J")
        self.drawn = len(lines)
        self.stream.write("".join(out))
        self.stream.flush()

    def done(self):
        """Leaves what is drawn where it is, and the cursor below it."""
        self.stream.write("\x1b[?25h")
        self.stream.flush()
        self.drawn = 0
