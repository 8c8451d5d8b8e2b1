"""Statements made by a small grammar: many that a command allows, and more that almost are."""

from random import Random

TABLES = {
    "orders": ("id", "status", "total", "card"),
    "notes": ("id", "order_id", "body"),
    "cards": ("id", "number"),
}
NUMBERS = frozenset(("id", "total", "order_id"))
TEXTS = ("open", "paid", "gone", "it''s", "a", "SECRET-1")


class Grammar:
    """Makes statements; the same seed makes the same ones. ``plain``: with few variations."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.plain = False

    def one_of(self, *texts: str) -> str:
        return texts[0] if self.plain and self.random.random() < 0.95 else self.random.choice(texts)

    def maybe(self, text: str, chance: float = 0.5) -> str:
        if self.plain:
            return text if chance > 0.7 else ""
        return text if self.random.random() < chance else ""

    def statement(self) -> str:
        self.plain = self.random.random() < 0.4
        return self.random.choice(
            (self.select, self.select, self.update, self.update, self.insert, self.delete)
        )()

    def table(self, *likely: str) -> str:
        return self.one_of(*likely, *likely, *TABLES)

    def named(self, table: str) -> str:
        return self.one_of(f"app.{table}", table, f'"app"."{table}"', f"App . {table.upper()}")

    def column(self, table: str) -> str:
        return self.one_of(*TABLES[table][:3], *TABLES[table])

    def ref(self, table: str, column: str, alias: str) -> str:
        return self.one_of(column, column, f'"{column}"', f"{alias or table}.{column}", column.upper())

    def value(self, column: str) -> str:
        if column in NUMBERS:
            number = str(self.random.randint(-1, 12))
            return self.one_of(
                number, number, f"'{number}'", f"{number}::int", f"'{number}'::numeric", f"({number})"
            )
        text = self.one_of(*TEXTS)
        plain = f"'{text}'"
        return self.one_of(plain, plain, f"E'{text}'", f"$q${text}$q$", f"{plain}::text", f"upper({plain})")

    def test(self, table: str, alias: str, *, likely: str = "id") -> str:
        column = self.one_of(likely, likely, self.column(table))
        ref = self.ref(table, column, alias)
        value = self.value(column)
        return self.one_of(
            f"{ref} = {value}",
            f"{ref} = {value}",
            f"({ref}) = ({value})",
            f"{ref} > {value}",
            f"{ref} IN ({value}, {self.value(column)})",
            f"{ref} IS NOT NULL",
            f"{ref} BETWEEN {value} AND {self.value(column)}",
            f"{value} = {ref}",
        )

    def where(self, table: str, alias: str, *, likely: str = "id", chance: float = 0.9) -> str:
        test = self.test(table, alias, likely=likely)
        other = self.test(table, alias, likely=likely)
        more = self.maybe(
            self.one_of(f" AND {other}", f" OR {other}", " OR true", f" AND NOT ({other})"), 0.2
        )
        return self.maybe(f" WHERE {test}{more}", chance)

    def alias(self) -> str:
        return self.maybe(self.one_of("o", '"O"', "x"), 0.2)

    def comment(self) -> str:
        return self.maybe(self.one_of("/* x */ ", "-- x\n", "/* /* */ */"), 0.1)

    def returning(self, table: str) -> str:
        return self.maybe(f" RETURNING {self.column(table)}", 0.2)

    def select(self) -> str:
        table, alias = self.table("orders"), self.alias()
        columns = ", ".join(
            self.ref(table, self.column(table), alias) for _ in range(self.random.randint(1, 3))
        )
        columns = self.one_of(columns, columns, columns, "count(*)", "*", f"max({self.column(table)}) AS m")
        order = self.maybe(f" ORDER BY {self.one_of(self.column(table), '1')} DESC", 0.3)
        limit = self.maybe(f" LIMIT {self.random.randint(0, 12)}", 0.8)
        where = self.where(table, alias)
        return f"{self.comment()}SELECT {columns} FROM {self.named(table)} {alias}{where}{order}{limit}"

    def update(self) -> str:
        table, alias = self.table("orders", "orders"), self.alias()
        column = (
            self.one_of("status", "status", self.column(table)) if table == "orders" else self.column(table)
        )
        more = self.maybe(f", {self.column(table)} = DEFAULT", 0.05)
        where = self.where(table, alias)
        changed = f"{column} = {self.value(column)}{more}"
        return (
            f"UPDATE {self.comment()}{self.named(table)} {alias} SET {changed}{where}{self.returning(table)}"
        )

    def insert(self) -> str:
        table = self.table("notes", "notes")
        columns = self.one_of("order_id, body", "order_id, body", "order_id", ", ".join(TABLES[table]))
        rows = ", ".join(
            "(" + ", ".join(map(self.value, columns.split(", "))) + ")"
            for _ in range(1 if self.random.random() < 0.9 else 2)
        )
        return f"INSERT INTO {self.named(table)} ({columns}) VALUES {rows}{self.returning(table)}"

    def delete(self) -> str:
        table, alias = self.table("notes", "notes"), self.alias()
        return f"DELETE FROM {self.named(table)} {alias}{self.where(table, alias)}{self.returning(table)}"
