// The networks of networks.py in ONNX Runtime, for peers.py: one command a line on standard input.
//
//     node peer_ort.js MODULE FOLDER THREADS
//
//     forward ROUNDS    f and g on ten views in one batch each; with one thread a session, both at once
//     outputs FILE      the tokens of f, then those of g, as plain floats
"use strict";
const fs = require("fs");
const readline = require("readline");

const [modulePath, folder, threadsText] = process.argv.slice(2);
const ort = require(modulePath);
const threads = Number(threadsText);

function readX() {
  const file = fs.readFileSync(`${folder}/x.safetensors`);
  const size = Number(file.readBigUInt64LE(0));
  const { x } = JSON.parse(file.subarray(8, 8 + size).toString());
  const [begin, end] = x.data_offsets.map((at) => 8 + size + at);
  return new ort.Tensor("float32", new Float32Array(file.buffer.slice(file.byteOffset + begin, file.byteOffset + end)), x.shape);
}

function open(name) {
  return ort.InferenceSession.create(`${folder}/${name}.onnx`, {
    executionProviders: ["cpu"],
    graphOptimizationLevel: "all",
    executionMode: "sequential",
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
  });
}

async function main() {
  const x = readX();
  const sessions = [await open("f"), await open("g")];

  async function forward() {
    if (threads === 1)
      return Promise.all(sessions.map((session) => session.run({ x })));
    return [await sessions[0].run({ x }), await sessions[1].run({ x })];
  }

  console.log(JSON.stringify({ version: require(`${modulePath}/package.json`).version }));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [word, argument] = line.split(" ");
    const answer = {};
    if (word === "forward") {
      const start = process.hrtime.bigint();
      for (let i = 0; i < Number(argument); i++) await forward();
      answer.ms = Number(process.hrtime.bigint() - start) / 1e6 / Number(argument);
    } else if (word === "outputs") {
      const parts = (await forward()).map(({ tokens }) => Buffer.from(tokens.data.buffer, tokens.data.byteOffset, tokens.data.byteLength));
      fs.writeFileSync(argument, Buffer.concat(parts));
    }
    console.log(JSON.stringify(answer));
  }
}

main();
