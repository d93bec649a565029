"""The contracts of the local chain: what the compiler made of them, and calls to their functions as calldata."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eth_abi.abi import encode

from execution.sandbox.anvil import CONTRACTS, conditional_tokens
from execution.sandbox.position_ids import keccak256

ARTIFACTS = CONTRACTS / "artifacts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """`inputs` has the types of each function's and the constructor's parameters; `topics` each event's first topic."""

    name: str
    inputs: Mapping[str, tuple[str, ...]]
    topics: Mapping[str, str]
    bytecode: str
    deployed_bytecode: str

    def call(self, function: str, *arguments: object) -> str:
        """Calldata, 0x and hexadecimal."""
        types = self.inputs[function]
        return self.selector(function) + encode(types, arguments).hex()

    def selector(self, function: str) -> str:
        """0x and the first four bytes of the hash of its signature."""
        signature = f"{function}({','.join(self.inputs[function])})"
        return "0x" + keccak256(signature.encode())[:4].hex()

    def creation(self, *arguments: object) -> str:
        """What a transaction would carry to deploy it with these constructor arguments."""
        return self.bytecode + encode(self.inputs["constructor"], arguments).hex()


def load(name: str) -> Contract:
    """One of our own contracts."""
    return _parse(ARTIFACTS / f"{name}.json", name)


def load_conditional_tokens() -> Contract:
    """The real one, as its npm package ships it. Raises FileNotFoundError where that is not installed."""
    return _parse(conditional_tokens(), "ConditionalTokens")


def _parse(path: Path, name: str) -> Contract:
    artifact = json.loads(path.read_text(encoding="utf-8"))
    inputs: dict[str, tuple[str, ...]] = {"constructor": ()}
    topics: dict[str, str] = {}
    for entry in artifact["abi"]:
        types = tuple(_type(each) for each in entry.get("inputs", ()))
        if entry["type"] == "event":
            topics[entry["name"]] = "0x" + keccak256(f"{entry['name']}({','.join(types)})".encode()).hex()
        elif entry["type"] in ("function", "constructor"):
            inputs[entry.get("name", "constructor")] = types
    return Contract(
        name=name,
        inputs=inputs,
        topics=topics,
        bytecode=artifact["bytecode"],
        deployed_bytecode=artifact["deployedBytecode"],
    )


def _type(entry: Mapping[str, object]) -> str:
    kind = str(entry["type"])
    if not kind.startswith("tuple"):
        return kind
    components = entry["components"]
    assert isinstance(components, Sequence)
    return f"({','.join(_type(each) for each in components)})" + kind.removeprefix("tuple")
