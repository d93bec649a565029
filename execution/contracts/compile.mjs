// SPDX-License-Identifier: MIT
// Compiles src/*.sol and writes what programs need to artifacts/*.json: `node compile.mjs [folder]`.
// Source units are named relative to this folder, and no metadata hash is appended, so that equal sources give equal
// bytes on every machine.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const solc = createRequire(import.meta.url)('solc');
const here = dirname(fileURLToPath(import.meta.url));
const target = process.argv[2] ?? join(here, 'artifacts');
// Cancun, so that the code also runs where a local chain is younger or older than Polygon.
const settings = {
  optimizer: { enabled: true, runs: 200 },
  evmVersion: 'cancun',
  viaIR: true,
  metadata: { bytecodeHash: 'none', appendCBOR: false },
};

const names = readdirSync(join(here, 'src')).filter((name) => name.endsWith('.sol')).sort();
const sources = Object.fromEntries(
  names.map((name) => [`src/${name}`, { content: readFileSync(join(here, 'src', name), 'utf8') }]),
);
const outputSelection = { '*': { '*': ['abi', 'evm.bytecode.object', 'evm.deployedBytecode.object'] } };
const input = { language: 'Solidity', sources, settings: { ...settings, outputSelection } };
const output = JSON.parse(solc.compile(JSON.stringify(input)));

const troubles = output.errors ?? [];
for (const trouble of troubles) process.stderr.write(trouble.formattedMessage);
if (troubles.length > 0) process.exit(1); // a warning is an error

mkdirSync(target, { recursive: true });
for (const contracts of Object.values(output.contracts)) {
  for (const [name, { abi, evm }] of Object.entries(contracts)) {
    if (evm.bytecode.object === '') continue; // interfaces and what is abstract
    const artifact = {
      contract: name,
      solc: solc.version(),
      settings,
      abi,
      bytecode: `0x${evm.bytecode.object}`,
      deployedBytecode: `0x${evm.deployedBytecode.object}`,
    };
    writeFileSync(join(target, `${name}.json`), `${JSON.stringify(artifact, null, 2)}\n`);
  }
}
