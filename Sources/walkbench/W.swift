import MemoryModel
import MemoryOperations
func seconds(_ body: () throws -> Void) rethrows -> Double {
  let clock = ContinuousClock()
  let parts = try clock.measure(body).components
  return Double(parts.seconds) + Double(parts.attoseconds) * 1e-18
}
@main struct W { static func main() throws {
let pagesWanted = (Int(CommandLine.arguments[1]) ?? 32) << 18
let shuffled = CommandLine.arguments.count > 2
var configuration = MachineConfiguration()
try configuration.layOut(bytesPerNode: [(pagesWanted * 4096) * 5 / 3])
var machine = try Machine.boot(configuration)
let space = machine.createSpace(name: "vm0")!
let start = 0x7f0000000
let region = machine.addRegion(base: start, space: space)
var frames: [PFN] = []
print("alloc", seconds {
  frames.reserveCapacity(pagesWanted)
  for _ in 0..<pagesWanted { frames.append(machine.allocatePages(order: 0, gfp: .highUserMovable).pfn!) }
} / Double(pagesWanted) * 1e9, "ns/page")
if shuffled { var g = SplitMix64(seed: 1); frames.shuffle(using: &g) }
print("install", seconds { precondition(machine.installAnonymous(space, page: start, frames, region) == pagesWanted) } / Double(pagesWanted) * 1e9, "ns/page")
machine.addArea(space, start, start + pagesWanted)
// C loop
do {
  var refs = [UInt64](repeating: 0, count: machine.frames.count * 2)
  var ptes = [UInt64](repeating: 0, count: pagesWanted)
  var out = [UInt32](repeating: 0, count: pagesWanted)
  var types = [UInt8](repeating: 1, count: machine.frames.count >> 9)
  for i in 0..<pagesWanted { ptes[i] = UInt64(frames[i].rawValue) << 32 | 3 }
  for r in 0..<3 {
  let t = seconds {
    ptes.withUnsafeBufferPointer { p in refs.withUnsafeMutableBufferPointer { f in out.withUnsafeMutableBufferPointer { o in types.withUnsafeBufferPointer { ty in
      for i in 0..<pagesWanted { let e = p[i]; if e & 3 != 3 { break }; let n = Int(e >> 32); if ty[n >> 9] == 4 { break }; f[2*n] &+= 1024; o[i] = UInt32(n) }
    }}}}
  }
  print("loop \(r)", t / Double(pagesWanted) * 1e9, "ns/page")
  }
  types[0] = 2
}
for r in 0..<3 {
  var pin = Pin(PinRequest(space: space, startPage: start, pages: pagesWanted, flags: [.write, .longTerm], entryPoint: r == 2 ? .locked : .fast))
  var o: PinOutcome?
  let t = seconds { o = pin.run(&machine) }
  print("pin \(r)", t / Double(pagesWanted) * 1e9, "ns/page", o!.pages, o!.refusal as Any)
  var c = OperationCosts()
  let words = machine.pinWordsForBench(o!.pin!)
  let u = seconds { _ = machine.unpin(words, [.pin], limit: .max >> 1, batched: true, dirty: false, &c) }
  machine.removePin(o!.pin!)
  print("unpin", u / Double(pagesWanted) * 1e9)
}
}}
