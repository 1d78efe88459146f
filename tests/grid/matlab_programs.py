"""Random programs of the forms that case files use, with what each does, by a small reference of its own.

A program is made as text and as a Python function at once: the reference never reads the text, so that a
misread word, quote, space or block shows. Values are lists of lists of floats, and the operations those on
which IEEE arithmetic leaves no choice.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

Number = tuple[str, Callable[[dict[str, Any]], float]]
Step = tuple[str, Callable[[dict[str, Any]], "str | None"]]

COLUMNS = 4
STRINGS = ("'a%b'", "'it''s'", "'... no'", "'end'", "'[1 2'", "'%{'", "''", "' x'' '", '"say hi %"')
COMMENTS = ("% mpc.t(1, 1) = 99;", "%{ one line", "%} '", "% it's [", "%% end", "# if 1", "%")
BLOCK_COMMENT = "%{\nmpc.t(1, 1) = 99;\n  %{\nend\n  %}\n'\n%}\n"


class Writer:
    """Makes programs; the same seed makes the same program."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.depth = 0

    def pick(self, *options: Any) -> Any:
        return self.random.choice(options)

    def space(self) -> str:
        return self.pick("", "", " ", "\t", "  ")

    # Numbers -------------------------------------------------------------------------------------------

    def number(self, depth: int = 2) -> Number:
        makers = [self.literal, self.variable, self.entry]
        if depth:
            makers += [self.sum, self.sum, self.product, self.negative, self.call, self.parenthesis]
        return self.pick(*makers)(depth - 1)

    def literal(self, _: int) -> Number:
        text = self.pick("1", "2", "3.5", ".5", "4.", "1e1", "25E-2", "1d1", "0")
        value = float(text.replace("d", "e"))
        return text, lambda env: value

    def variable(self, _: int) -> Number:
        name = self.pick("a", "b")
        return name, lambda env: env[name]

    def entry(self, _: int) -> Number:
        i, j = self.pick(0, 1, -1, -2), self.random.randrange(COLUMNS)
        row = {0: "1", 1: "2", -1: "end", -2: f"end{self.space()}-{self.space()}1"}[i]
        gap = self.space()
        return f"mpc.t({gap}{row},{self.space()}{j + 1})", lambda env: env["t"][i][j]

    def sum(self, depth: int) -> Number:
        (x, f), (y, g) = self.number(depth), self.number(depth)
        gap = self.pick("", " ", " ...\n ", " ... % 'no\n")
        if self.random.random() < 0.5:
            return f"({x}{gap}+ {y})", lambda env: f(env) + g(env)
        return f"({x}{gap}- {y})", lambda env: f(env) - g(env)

    def product(self, depth: int) -> Number:
        (x, f), (k, g) = self.number(depth), self.literal(0)
        operator = self.pick("*", ".*", " * ", " .*", "* ")
        return f"{x}{operator}{k}", lambda env: f(env) * g(env)

    def negative(self, depth: int) -> Number:
        x, f = self.number(depth)
        if x.startswith("-"):
            x = f"({x})"
        return f"(-{self.space()}{x})", lambda env: -f(env)

    def parenthesis(self, depth: int) -> Number:
        x, f = self.number(depth)
        transpose = self.pick("", "'", ".'")
        return f"({self.space()}{x}{self.space()}){transpose}", f

    def call(self, depth: int) -> Number:
        (x, f), (y, g) = self.number(depth), self.literal(0)
        return self.pick(
            (f"abs({x})", lambda env: abs(f(env))),
            (f"max({x}, {y})", lambda env: max(f(env), g(env))),
            (f"sum([{x} -{y}])", lambda env: f(env) + -g(env)),
            (f"numel([{x} -{y}])", lambda env: 2.0),
            (f"numel([{x} - {y}])", lambda env: 1.0),
            (f"numel([{x}, - {y}\n{y} {x}' ; {x} ...\n {y}])", lambda env: 6.0),
            (f"numel([{x}' {y}'])", lambda env: 2.0),
            ("size(mpc.t, 1)", lambda env: float(len(env["t"]))),
            ("size(mpc.t(:, 2:end), 2)", lambda env: COLUMNS - 1.0),
            ("length('it''s % 1')", lambda env: 8.0),
            ("numel({'a', 'b;'; {}, [1 -1]})", lambda env: 4.0),
            (f"length(find([{x} 1 0] == {y}))", lambda env: float([f(env), 1, 0].count(g(env)))),
        )

    def condition(self, depth: int = 1) -> tuple[str, Callable[[dict[str, Any]], bool]]:
        if depth and self.random.random() < 0.4:
            (p, f), (q, g) = self.condition(depth - 1), self.condition(depth - 1)
            if self.random.random() < 0.5:
                return f"({p} {self.pick('&&', '&')} {q})", lambda env: f(env) and g(env)
            return f"({p}{self.pick('||', '|', ' || ')}{q})", lambda env: f(env) or g(env)
        (x, f), (y, g) = self.number(1), self.number(1)
        return self.pick(
            (f"{x} > {y}", lambda env: f(env) > g(env)),
            (f"{x}<={y}", lambda env: f(env) <= g(env)),
            (f"~({x} == {y})", lambda env: f(env) != g(env)),
            (f"{x} ~= {y}", lambda env: f(env) != g(env)),
            (f"{x}", lambda env: f(env) != 0),
            ("isempty('')", lambda env: True),
        )

    # Statements ----------------------------------------------------------------------------------------

    def end(self) -> str:
        """What ends a statement: a sign, a comment, a line, more than one of these."""
        text = self.pick(";", ";", "", ",", ";;") + self.space()
        return f"{text}{self.pick('', self.pick(*COMMENTS))}\n" + self.pick(
            "", "", "\n", self.pick("", BLOCK_COMMENT)
        )

    def simple(self) -> Step:
        (x, f), (y, g) = self.number(), self.number()
        j, k = self.random.randrange(COLUMNS), self.random.randrange(COLUMNS)
        i = self.pick(0, 1)

        def assign(name: str) -> Callable[[dict[str, Any]], None]:
            return lambda env: env.__setitem__(name, f(env))

        def entry(env: dict[str, Any]) -> None:
            env["t"][i][j] = f(env)

        def column(env: dict[str, Any]) -> None:
            value = f(env)
            for row in env["t"]:
                row[j] = value

        def scaled(env: dict[str, Any]) -> None:
            for row in env["t"]:
                row[j], row[k] = row[j] * 0.5, row[k] * 0.5 if k != j else row[j] * 0.5

        def masked(env: dict[str, Any]) -> None:
            limit, value = f(env), g(env)
            for row in env["t"]:
                if row[j] > limit:
                    row[k] = value

        def row_of(env: dict[str, Any]) -> list[float]:
            return [f(env), -1.0, g(env), 2.0]

        def set_row(env: dict[str, Any]) -> None:
            env["t"][i] = row_of(env)

        def append(env: dict[str, Any]) -> None:
            env["t"] = [*env["t"], row_of(env)]

        def two(env: dict[str, Any]) -> None:
            env["t"][0][j], env["t"][1][j] = f(env), g(env)

        def drop(env: dict[str, Any]) -> None:
            if len(env["t"]) > 2:
                env["t"] = [row for n, row in enumerate(env["t"]) if n != i]

        row = self.pick(f"[{x} -1 {y} 2]", f"[{x}, -1,{y}\t2 ]", f"[{x} -1 ... 'x\n {y} , 2;\n]")
        index = f"[{j + 1} {k + 1}]" if j != k else f"{j + 1}"
        return self.pick(
            (f"a = {x}", assign("a")),
            (f"b={x}", assign("b")),
            (f"mpc.t({i + 1}, {j + 1}) = {x}", entry),
            (f"mpc.t(:, {j + 1}){self.space()}={self.space()}{x}", column),
            (f"mpc.t(:, {index}) = mpc.t(:, {index}) / 2", scaled),
            (f"mpc.t(mpc.t(:, {j + 1}) > {x}, {k + 1}) = {y}", masked),
            (f"mpc.t({i + 1}, :) = {row}", set_row),
            (f"mpc.t(end + 1, :) = {row}", append),
            (f"mpc.t(1:2, {j + 1}) = [{x} {y}]'", two),
            (f"if size(mpc.t, 1) > 2, mpc.t({i + 1}, :) = []; end", drop),
            (f"s = {self.pick(*STRINGS)}", lambda env: None),
            (f"mpc.names = {{{self.pick(*STRINGS[:-1])}; 'b'\n'c' ;}}", lambda env: None),
            (f"disp({self.pick(*STRINGS)})", lambda env: None),
            ("fprintf('%d;\\n', 1)", lambda env: None),
            ("format long", lambda env: None),
        )

    def statement(self) -> Step:
        self.depth += 1
        makers = [self.one, self.one, self.one]
        if self.depth < 4:
            makers += [self.branch, self.one_line, self.count, self.columns, self.repeat, self.switch]
        step = self.pick(*makers)()
        self.depth -= 1
        return step

    def one(self) -> Step:
        text, action = self.simple()

        def run(env: dict[str, Any]) -> None:
            action(env)

        return text + self.end(), run

    def block(self, jump: str = "") -> Step:
        """Statements, now and then with a jump among them."""
        steps = [self.statement() for _ in range(self.random.randint(0, 3))]
        if jump and self.random.random() < 0.4:
            c, holds = self.condition()
            word = f"if {c}, {jump}, end{self.end()}"
            steps.insert(
                self.random.randrange(len(steps) + 1), (word, lambda env: jump if holds(env) else None)
            )
        return "".join(text for text, _ in steps), lambda env: run_all([run for _, run in steps], env)

    def branch(self) -> Step:
        branches = [(self.condition(), self.block("return")) for _ in range(self.random.randint(1, 3))]
        text = ""
        for ((c, _), (body, _)), word in zip(branches, ["if", "elseif", "elseif"], strict=False):
            text += f"{word} {c}{self.pick(',', '', ' % c')}\n{body}"
        otherwise: Step | None = self.block() if self.random.random() < 0.5 else None
        text += f"else\n{otherwise[0]}" if otherwise else ""

        def run(env: dict[str, Any]) -> str | None:
            for (_, holds), (_, body) in branches:
                if holds(env):
                    return body(env)
            return otherwise[1](env) if otherwise else None

        return f"{text}{self.pick('end', 'endif')}{self.end()}", run

    def one_line(self) -> Step:
        (c, holds), (x, f), (y, g) = self.condition(), self.simple(), self.simple()

        def run(env: dict[str, Any]) -> None:
            (f if holds(env) else g)(env)

        return f"if {c}, {x}; else, {y}; end{self.end()}", run

    def count(self) -> Step:
        n, jump = self.random.randint(0, 3), self.pick("break", "continue", "return")
        name = f"k{self.depth}"
        body, run_body = self.block(jump)
        ranges = [(f"1:{n}", list(range(1, n + 1))), (f"{n}:-1:1", list(range(n, 0, -1)))]
        text, values = self.pick(*ranges)
        use = self.pick("", f"a = a + {name};\n")

        def run(env: dict[str, Any]) -> str | None:
            for value in values:
                if use:
                    env["a"] = env["a"] + float(value)
                jump = run_body(env)
                if jump == "break":
                    break
                if jump == "return":
                    return jump
            return None

        return f"for {name} = {text}{self.pick('', ',', ';')}\n{use}{body}end{self.end()}", run

    def columns(self) -> Step:
        (x, f), (y, g) = self.number(), self.number()

        def run(env: dict[str, Any]) -> None:
            values = (f(env), -g(env))  # fixed before the first turn
            for value in values:
                env["b"] = env["b"] + value

        return f"for v = [{x} -{y}] b = b + v; end{self.end()}", run

    def repeat(self) -> Step:
        name, turns = f"n{self.depth}", self.random.randint(0, 3)
        body, run_body = self.block("break")

        def run(env: dict[str, Any]) -> str | None:
            for _ in range(turns):
                jump = run_body(env)
                if jump == "break":
                    break
                if jump == "return":
                    return jump
            return None

        return f"{name} = 0;\nwhile {name} < {turns}\n{name} = {name} + 1;\n{body}end{self.end()}", run

    def switch(self) -> Step:
        (x, f), (y, g) = self.literal(0), self.literal(0)
        (p, run_p), (q, run_q), (r, run_r) = self.block(), self.block(), self.block()
        if self.random.random() < 0.3:
            word = self.pick("ab", "%c")
            text = f"switch '{word}'\ncase 'ab'\n{p}case {{'x', '%c'}}\n{q}end"
            return text + self.end(), run_p if word == "ab" else run_q

        def run(env: dict[str, Any]) -> str | None:
            value, case = f(env), g(env)
            return run_p(env) if value == case else run_q(env) if value in (1.0, 2.0) else run_r(env)

        text = f"switch {x} % on\n\ncase {y}\n{p}case {{1, 2}}\n{q}otherwise\n{r}end"
        return text + self.end(), run

    def program(self) -> tuple[str, list[list[float]]]:
        """A function file with the text of a program, and the table ``mpc.t`` that it leaves."""
        start = [[float(self.random.randint(-3, 9)) for _ in range(COLUMNS)] for _ in range(3)]
        rows = self.pick(";\n", "\n", "; % row\n", ";")
        table = rows.join("\t".join(f"{value:g}" for value in row) for row in start)
        steps = [self.statement() for _ in range(self.random.randint(1, 6))]
        env = {"t": [list(row) for row in start], "a": 1.0, "b": -2.0}
        run_all([run for _, run in steps], env)
        body = f"mpc.t = [{table}];\na = 1; b = -2;\n" + "".join(text for text, _ in steps)
        closed = self.pick(True, False)
        head = self.pick("function mpc = NAME", "function [mpc] = NAME()", "function mpc = NAME(varargin)")
        local = "function mpc = other\nmpc.t = 99;\n" if self.random.random() < 0.4 else ""
        end = "end\n" if closed else ""
        return f"{head}\n{body}{end}{local}{end if local else ''}", env["t"]


def run_all(steps: list[Callable[[dict[str, Any]], str | None]], env: dict[str, Any]) -> str | None:
    """Runs steps up to the first jump, which it returns."""
    for run in steps:
        jump = run(env)
        if jump:
            return jump
    return None
