"""What a notebook shows of Blocks."""

from __future__ import annotations

from html.parser import HTMLParser

import pyarrow as pa

from raydp_ml.exchange.blocks import put_table
from raydp_ml.exchange.blocks_html import blocks_html

HOSTILE = "<img src=x onerror=alert(1)>&\"'"


class Tables(HTMLParser):
    """The rows of all tables, the tags, and the text outside of tables."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.tags, self.text, self.cell = [], [], "", False
        self.feed(text)
        assert self.tags == []

    def handle_starttag(self, tag, attrs):
        if tag == "br":
            return
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.tags.pop() == tag  # whole, whatever the names are

    def handle_data(self, data):
        if self.tags and self.tags[-1] in {"td", "th"}:
            self.rows[-1][-1] += data
        else:
            self.text += data


def test_names_and_types_rows_bytes_and_where():
    schema = pa.schema([("a", pa.int32()), (HOSTILE, pa.list_(pa.float64())), ("", pa.string())])
    seen = Tables(blocks_html(schema, [1000, 5, 234], 98_765, ["n1", "n2", "n1"], None))
    assert "1,239 rows × 3 columns, 98,765 bytes in 3 blocks" in seen.text
    assert seen.rows == [
        ["Column", "Type"],
        ["a", "int32"],
        [HOSTILE, "list<item: double>"],
        ["", "string"],
        ["Ray node", "Blocks", "Rows"],
        ["n1", "2", "1,234"],
        ["n2", "1", "5"],
    ]


def test_of_many_columns_the_first_are_shown():
    schema = pa.schema([(f"c{i}", pa.int8()) for i in range(1234)] + [("x" * 10**6, pa.int8())])
    html = blocks_html(schema, [], 0, [], None)
    assert "and 1,135 more" in Tables(html).text
    assert len(html) < 10_000


def test_a_long_name_and_a_deep_type_are_cut():
    kind = pa.struct([(f"f{i}", pa.int8()) for i in range(10**4)])
    seen = Tables(blocks_html(pa.schema([("<" * 10**5, kind)]), [], 0, [], None))
    name, type_ = seen.rows[1]
    assert name == "<" * 200 + "…"
    assert len(type_) == 201


def test_what_is_gone_says_so_and_keeps_its_schema():
    seen = Tables(
        blocks_html(pa.schema([("a", pa.int32())]), [1], 4, ["n"], "The <Ray> has ended.")
    )
    assert "The <Ray> has ended." in seen.text
    assert seen.rows == [["Column", "Type"], ["a", "int32"]]


def test_of_live_and_freed_blocks(ray_cluster):
    blocks = put_table(pa.table({HOSTILE: [1, 2, 3]}), 2)
    seen = Tables(blocks._repr_html_())
    assert [HOSTILE, "int64"] in seen.rows
    (node,) = set(blocks.node_ids)
    assert seen.rows[-1] == [node, "2", "3"]
    blocks.free()
    seen = Tables(blocks._repr_html_())
    assert "were freed" in seen.text
    assert [HOSTILE, "int64"] in seen.rows
