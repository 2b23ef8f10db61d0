"""Page tokens are made and taken in one place: no service looks into one."""

import ast

from tests.architecture import sources


def looks_into(tree: ast.Module) -> list[str]:
    """Returns what only the parser of page tokens has to do with."""
    names = [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    names += [name.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names]
    words = [text for text in sources.strings(tree) if text in ("page_token", "PAGE_TOKEN_INVALID")]
    return [name for name in names if name in ("page_token", "PageToken", "seal", "unseal")] + words


def test_no_service_parses_page_tokens_by_itself() -> None:
    found = {path: looks_into(tree) for path, tree in sources.trees("services").items() if "_pb2" not in path}
    assert {path: names for path, names in found.items() if names} == {}
    assert looks_into(sources.trees("kernel")["kernel/grpc/paging.py"])  # It would be seen.


def test_every_list_of_a_service_takes_its_page_from_the_one_parser() -> None:
    for path, tree in sources.trees("services").items():
        lists = [node for node in sources.functions(tree) if node.name.startswith("List")]
        for node in lists:
            if "next_page_token" in ast.dump(node):
                assert "attr='of'" in ast.dump(node), f"{path}: {node.name}"
