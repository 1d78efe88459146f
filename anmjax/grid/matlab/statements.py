"""The grammar of statements, blocks and functions."""

from __future__ import annotations

from anmjax.grid.matlab.expressions import ExpressionParser
from anmjax.grid.matlab.limits import Unreadable
from anmjax.grid.matlab.tokens import tokenize
from anmjax.grid.matlab.tree import (
    Action,
    Assign,
    Command,
    Evaluate,
    Expression,
    Field,
    For,
    Function,
    If,
    Index,
    Jump,
    Name,
    Program,
    Statement,
    Switch,
    While,
)

# What closes a block; Octave has a word for each kind.
_ENDS = {
    "if": ("end", "endif"),
    "while": ("end", "endwhile"),
    "for": ("end", "endfor"),
    "switch": ("end", "endswitch"),
    "function": ("end", "endfunction"),
}


class UnreadableStatement(Unreadable):
    """Raised for a text that is no statement of those read; ``start`` and ``stop`` say where it stands."""

    def __init__(self, message: str, position: int | None, start: int, stop: int) -> None:
        super().__init__(message, position)
        self.start, self.stop = start, stop


def parse(text: str) -> Program:
    """Reads a program; nothing is carried out.

    Args:
      text: the program, its lines ending in line feeds.

    Raises:
      UnreadableStatement: it is not of the part of MATLAB that is read.
    """
    try:
        parser = _Parser(text)
    except Unreadable as error:
        start = text.rfind("\n", 0, error.position) + 1 if error.position is not None else 0
        raise UnreadableStatement(str(error), error.position, start, _line_end(text, start)) from None
    try:
        return parser.program()
    except Unreadable as error:
        start = parser.statement_start
        stop = max(_line_end(text, start), start if error.position is None else error.position)
        raise UnreadableStatement(str(error), error.position, start, stop) from None


def _line_end(text: str, start: int) -> int:
    stop = text.find("\n", start)
    return len(text) if stop < 0 else stop


class _Parser(ExpressionParser):
    def __init__(self, text: str) -> None:
        super().__init__(tokenize(text))
        self.statement_start = 0
        self._opened: list[int] = []  # where the blocks start that are being read

    def program(self) -> Program:
        self._skip_separators()
        script: list[Statement] = []
        functions: list[Function] = []
        is_script = not self._at_keyword("function")
        ended: bool | None = None  # whether functions end in a word of their own
        while self.peek().kind != "stop":
            self.statement_start = self.peek().start
            if not self._at_keyword("function"):
                if not is_script:
                    raise self.unexpected("after the end of a function only another may follow")
                script.append(self._statement())
            else:
                function, has_end = self._function()
                if ended not in (None, has_end):
                    raise Unreadable("of several functions all or none must have an 'end'", function.start)
                ended = has_end
                functions.append(function)
            self._skip_separators()
        if is_script and ended is False:
            raise Unreadable("a function behind the statements of a script must have an 'end'")
        return Program(script, functions)

    def _function(self) -> tuple[Function, bool]:
        start = self.take().start
        outputs = self._outputs()
        name = self._a_name()
        if self.at("("):
            self._parameters()
        stop = self.peek().start
        self._end_statement()
        body = self._block((*_ENDS["function"], "function", "stop"))
        has_end = self._at_keyword(*_ENDS["function"])
        if has_end:
            self.statement_start = self.take().start
            if self.peek().kind != "stop":
                self._end_statement()
        return Function(name, outputs, body, start, stop), has_end

    def _outputs(self) -> list[str]:
        """Reads ``name =``, ``[name, name] =`` or nothing."""
        following = self._tokens[self._next + 1]
        if self.peek().kind == "name" and following.kind == "op" and following.text == "=":
            names = [self._a_name()]
        elif self.at("["):
            self._next += 1
            names = [self._a_name()]
            while not self.at("]"):
                if self.at(","):
                    self._next += 1
                names.append(self._a_name())
            self._next += 1
        else:
            return []
        self.expect("=")
        return names

    def _parameters(self) -> None:
        self._next += 1
        while not self.at(")"):
            if not self.at("~"):
                self._a_name()
            else:
                self._next += 1
            if not self.at(")"):
                self.expect(",")
        self._next += 1

    def _a_name(self) -> str:
        if self.peek().kind != "name":
            raise self.unexpected("a name was expected")
        return self.take().text

    def _at_keyword(self, *words: str) -> bool:
        token = self.peek()
        return token.kind == "keyword" and token.text in words

    def _skip_separators(self) -> None:
        while self.peek().kind == "newline" or self.at(";", ","):
            self._next += 1

    def _end_statement(self) -> None:
        if self.peek().kind != "newline" and not self.at(";", ","):
            raise self.unexpected()
        self._next += 1

    def _block(self, stops: tuple[str, ...]) -> list[Statement]:
        """Reads statements up to one of these keywords, which is left to be read."""
        body: list[Statement] = []
        self._skip_separators()
        while not self._at_keyword(*stops):
            if self.peek().kind == "stop":
                if "stop" in stops:
                    break
                self.statement_start = self._opened[-1]
                raise Unreadable("the block has no 'end'")
            body.append(self._statement())
            self._skip_separators()
        return body

    def _statement(self) -> Statement:
        self.statement_start = start = self.peek().start
        self.enter()
        token = self.peek()
        if token.kind == "keyword":
            reader = {
                "if": self._if,
                "while": self._while,
                "for": self._for,
                "switch": self._switch,
                "return": self._jump,
                "break": self._jump,
                "continue": self._jump,
            }.get(token.text)
            if reader is None:
                raise self.unexpected()
            self._next += 1
            self._opened.append(start)
            action, stop = reader()
            self._opened.pop()
        else:
            action = self._simple()
            stop = self.peek().stop if self.at(";") else self.peek().start
        # A block ends by its own word, and another block around it may end right behind.
        is_block = isinstance(action, (If, While, For, Switch))
        if not (is_block and self.peek().kind == "keyword" and self.peek().text.startswith("end")):
            self._end_statement()
        self.leave()
        return Statement(action, start, stop)

    def _simple(self) -> Action:
        following = self._tokens[self._next + 1]
        if following.kind == "command":
            return Command(self.take().text, self.take().text)
        if self.at("[") and (targets := self._targets()) is not None:
            return Assign(targets, self.expression(), True)
        value = self.expression()
        if not self.at("="):
            return Evaluate(value)
        if not isinstance(value, (Name, Field, Index)):
            raise self.unexpected("only a variable, a field or entries of these can be assigned")
        self._next += 1
        return Assign([value], self.expression(), False)

    def _targets(self) -> list[Expression | None] | None:
        """Reads ``[name, ~, name] =``; None, and nothing read, where it is no such list."""
        first = self._next
        self._next += 1
        targets: list[Expression | None] = []
        while not self.at("]"):
            if self.at("~"):
                self._next += 1
                targets.append(None)
            elif self.peek().kind == "name":
                targets.append(Name(self.take().text))
            else:
                break
            if self.at(","):
                self._next += 1
        following = self._tokens[self._next + 1]
        if not (self.at("]") and following.kind == "op" and following.text == "="):
            self._next = first
            return None
        self._next += 2
        return targets

    def _jump(self) -> tuple[Action, int]:
        return Jump(self._tokens[self._next - 1].text), self.peek().start

    def _condition(self) -> Expression:
        """Reads what a block depends on; a statement on the same line must open with a name or keyword."""
        condition = self.expression()
        if self.peek().kind not in ("name", "keyword", "newline") and not self.at(";", ","):
            raise self.unexpected()
        return condition

    def _if(self) -> tuple[Action, int]:
        branches: list[tuple[Expression | None, list[Statement]]] = []
        words = ("elseif", "else", *_ENDS["if"])
        condition: Expression | None = self._condition()
        opened = self.peek().start
        while True:
            branches.append((condition, self._block(words)))
            word = self.take().text
            if word in _ENDS["if"]:
                return If(branches), opened
            if condition is None:
                self._next -= 1
                raise self.unexpected()
            condition = self._condition() if word == "elseif" else None

    def _while(self) -> tuple[Action, int]:
        condition = self._condition()
        opened = self.peek().start
        return While(condition, self._closed("while")), opened

    def _closed(self, kind: str) -> list[Statement]:
        body = self._block(_ENDS[kind])
        self._next += 1
        return body

    def _for(self) -> tuple[Action, int]:
        inside = self.at("(")
        if inside:
            self._next += 1
        name = self._a_name()
        self.expect("=")
        value = self.expression() if inside else self._condition()
        if inside:
            self.expect(")")
        opened = self.peek().start
        return For(name, value, self._closed("for")), opened

    def _switch(self) -> tuple[Action, int]:
        value = self.expression()
        opened = self.peek().start
        cases: list[tuple[Expression | None, list[Statement]]] = []
        self._skip_separators()
        words = ("case", "otherwise", *_ENDS["switch"])
        while True:
            if not self._at_keyword(*words):
                raise self.unexpected("'case' was expected")
            word = self.take().text
            if word in _ENDS["switch"]:
                return Switch(value, cases), opened
            if cases and cases[-1][0] is None:
                self._next -= 1
                raise self.unexpected()
            cases.append((self._condition() if word == "case" else None, self._block(words)))
