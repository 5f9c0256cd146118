// The networks of networks.py in ONNX Runtime, for peers.py: one command a line on standard input.
//
//     node peer_ort.js MODULE FOLDER THREADS
//
//     forward ROUNDS    f and g on ten views in one batch each: one after the other with THREADS threads; with one
//                       thread, each in a worker of its own, since a session's run blocks the thread that called it
//     outputs FILE      the tokens of f, then those of g, as plain floats
"use strict";
const fs = require("fs");
const readline = require("readline");
const { Worker, isMainThread, parentPort, workerData } = require("worker_threads");

const [modulePath, folder, threadsText] = isMainThread ? process.argv.slice(2) : workerData.slice(1);
const threads = Number(threadsText);

function readX(ort) {
  const file = fs.readFileSync(`${folder}/x.safetensors`);
  const size = Number(file.readBigUInt64LE(0));
  const { x } = JSON.parse(file.subarray(8, 8 + size).toString());
  const [begin, end] = x.data_offsets.map((at) => file.byteOffset + 8 + size + at);
  return new ort.Tensor("float32", new Float32Array(file.buffer.slice(begin, end)), x.shape);
}

// A function that runs ROUNDS forwards of one encoder and gives the last tokens.
async function open(name) {
  const ort = require(modulePath);
  const x = readX(ort);
  const session = await ort.InferenceSession.create(`${folder}/${name}.onnx`, {
    executionProviders: ["cpu"],
    graphOptimizationLevel: "all",
    executionMode: "sequential",
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
  });
  return async (rounds) => {
    let tokens;
    for (let i = 0; i < rounds; i++) ({ tokens } = await session.run({ x }));
    return tokens.data;
  };
}

// The same in another thread.
async function openWorker(name) {
  const worker = new Worker(__filename, { workerData: [name, modulePath, folder, threadsText] });
  const answer = () => new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
  worker.unref();
  await answer();
  return (rounds) => {
    worker.postMessage(rounds);
    return answer();
  };
}

async function serve() {
  const run = await open(workerData[0]);
  parentPort.on("message", async (rounds) => parentPort.postMessage(await run(rounds)));
  parentPort.postMessage("ready");
}

async function main() {
  const encoders = await Promise.all(["f", "g"].map(threads === 1 ? openWorker : open));

  async function forward(rounds) {
    if (threads === 1) return Promise.all(encoders.map((run) => run(rounds)));
    return [await encoders[0](rounds), await encoders[1](rounds)];
  }

  console.log(JSON.stringify({ version: require(`${modulePath}/package.json`).version }));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [word, argument] = line.split(" ");
    const answer = {};
    if (word === "forward") {
      const start = process.hrtime.bigint();
      await forward(Number(argument));
      answer.ms = Number(process.hrtime.bigint() - start) / 1e6 / Number(argument);
    } else if (word === "outputs") {
      const parts = await forward(1);
      fs.writeFileSync(argument, Buffer.concat(parts.map((t) => Buffer.from(t.buffer, t.byteOffset, t.byteLength))));
    }
    console.log(JSON.stringify(answer));
  }
  process.exit(0);
}

if (isMainThread) main();
else serve();
