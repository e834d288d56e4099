import MemoryModel
import MemoryOperations

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

// A guest of hundreds of GiB: populate, pin, unpin, migrate, unmap, fork. Every row stands beside a
// loop that touches the same bytes in the same order, measured in the same run, and beside what the
// real thing costs.

/// What a row costs on a real kernel, per 4 KiB page.
///
/// Instructions: recorded on 6.12 in a virtual machine (`timing.txt` of the recordings, median of
/// 1 GiB, 256 MiB for migrations). Nanoseconds: io_uring's buffer registration on hardware,
/// 6.18 (`host-timing.jsonl`, median of 1 and 4 GiB).
enum Real {
  static let populate4K = "6238 instr, 1200 ns"
  static let populate2M = "4175 instr, 174 ns"
  static let populateShmem = "7741 instr"
  static let pinFast4K = "252 instr, 66 ns"
  static let pinFast2M = "10.5 instr, 4.1 ns"
  static let pinSlow4K = "501 instr"
  static let unpin4K = "95 instr, 19.5 ns"
  static let unpin2M = "11 instr, 0.05 ns"
  static let migrate4K = "9385 instr"
  static let migrate2M = "4323 instr"
}

/// How long an operation took, and its longest slice, after which alone Ctrl-C is heard.
struct Timing {
  var seconds = 0.0
  var longestSlice = 0.0

  func nanoseconds(_ pages: Int) -> Double { seconds / Double(pages) * 1e9 }
}

func run<Work: MemoryModel.Operation>(
  _ work: inout Work, _ machine: inout Machine
) -> Timing {
  var timing = Timing()
  while true {
    var progress = Progress.finished
    let spent = seconds { progress = work.advance(&machine, .slice) }
    timing.seconds += spent
    timing.longestSlice = max(timing.longestSlice, spent)
    switch progress {
    case .running: continue
    case .finished: return timing
    case .waiting: preconditionFailure("the benchmark waits for itself")
    }
  }
}

/// A row in nanoseconds a page, judged by them or by how much they are of a baseline.
func pageRow(
  _ name: String, _ timing: Timing, _ pages: Int, _ target: Target, baseline: Double? = nil,
  real: String = ""
) {
  let each = timing.nanoseconds(pages)
  let note = real.isEmpty ? "" : "real: " + real
  if let baseline {
    let ratio = each / baseline
    row(
      name, ratio, " x", target, shown: "\(fixed(each, 2)) ns = \(fixed(ratio, 2)) x", note: note)
  } else {
    row(name, each, " ns", digits: 2, target, note: note)
  }
  if timing.longestSlice > 0.02 {
    row("  longest slice", timing.longestSlice * 1000, " ms", .atMost(20))
  }
}

extension Timing {
  mutating func lower(to other: Timing) { if other.seconds < seconds { self = other } }

  fileprivate static let never = Timing(seconds: .infinity)
}

/// The best of several rounds over the same pages.
struct PinRounds {
  static let entryPoints: [PinEntryPoint] = [.fast, .locked]

  var loop = Double.infinity
  var walk = Timing.never
  /// One for each entry point.
  var pins = [Timing](repeating: .never, count: entryPoints.count)
  var unpins = [Timing](repeating: .never, count: entryPoints.count)
}

/// A machine with one process and one area.
struct Guest: ~Copyable {
  var machine: Machine
  let space: Int
  let start: Int
  let pages: Int

  init(
    pages: Int, _ configuration: MachineConfiguration, hugePages: Bool, shmem: Bool = false
  ) throws {
    var machine = try Machine.boot(configuration)
    guard let space = machine.createSpace(name: "vm0") else { fatalError("no process") }
    var flags: MemoryArea.Flags = [.read, .write]
    if !hugePages { flags.insert(.noHugePage) }
    var backing = MemoryArea.Backing.anonymous
    if shmem {
      flags.insert(.shared)
      backing = .file(try machine.createFile(.shmem, name: "memfd", pages: pages).get(), offset: 0)
    }
    start = try machine.mapArea(space, pages: pages, flags, backing).get()
    self.machine = machine
    self.space = space
    self.pages = pages
  }

  mutating func populate() -> Timing {
    var work = PopulateOperation(
      space: space, pages: start..<start + pages, access: .write, writes: true)
    let timing = run(&work, &machine)
    precondition((try? work.outcome?.get()) == pages)
    return timing
  }

  mutating func pin(_ entryPoint: PinEntryPoint) -> (timing: Timing, pin: Int) {
    var work = Pin(
      PinRequest(
        space: space, startPage: start, pages: pages, flags: [.write, .longTerm],
        entryPoint: entryPoint))
    let timing = run(&work, &machine)
    guard let outcome = work.outcome, outcome.pages == pages, let pin = outcome.pin else {
      fatalError("\(String(describing: work.outcome))")
    }
    return (timing, pin)
  }

  mutating func unpin(_ pin: Int) -> Timing {
    var costs = OperationCosts()
    let words = machine.pinWords(pin)
    var timing = Timing()
    timing.seconds = seconds {
      _ = machine.unpin(
        words, [.pin], limit: .max >> 1, batched: true, dirty: false, &costs)
      machine.removePin(pin)
    }
    return timing
  }

  /// The walker alone: entries to words and counts, without operation, record or result.
  mutating func walk() -> Timing {
    guard
      let pin = machine.addPin(
        space: space, startPage: start, room: pages, [.write, .pin, .longTerm], holder: "walk")
    else { fatalError("no room") }
    var cursor = PinCursor(machine.pinWords(pin))
    var costs = OperationCosts()
    var timing = Timing()
    timing.seconds = seconds {
      let reached = machine.walkFast(
        space, start..<start + pages, [.write, .pin, .longTerm], &cursor, &costs)
      precondition(reached == start + pages)
    }
    _ = machine.unpin(
      cursor.start..<cursor.position, [.pin], limit: .max >> 1, batched: true, dirty: false, &costs)
    machine.removePin(pin)
    return timing
  }

  /// The loop, the walker and the pins in turn, so that a noisy neighbour slows all of them.
  ///
  /// The best of each: the first round touches the words.
  mutating func rounds(_ count: Int, isLarge: Bool) -> PinRounds {
    let loop = Loop(self, isLarge: isLarge)
    var best = PinRounds()
    for _ in 0..<count {
      best.loop = min(best.loop, seconds { loop.pin() })
      best.walk.lower(to: walk())
      for (index, entryPoint) in PinRounds.entryPoints.enumerated() {
        let (timing, pin) = pin(entryPoint)
        best.pins[index].lower(to: timing)
        best.unpins[index].lower(to: unpin(pin))
      }
    }
    return best
  }

  mutating func unmap() -> Timing {
    var work = UnmapOperation(space: space, pages: start..<start + pages)
    return run(&work, &machine)
  }
}

func configuration(gib: Int, movable: Int = 0, cma: Int = 0) throws -> MachineConfiguration {
  var configuration = MachineConfiguration()
  try configuration.layOut(bytesPerNode: [gib << 30])
  if movable > 0 { configuration.movablecore = .pages(movable) }
  if cma > 0 { configuration.cmaAreas = [.init(name: "reserved", pages: cma)] }
  return configuration
}

/// What a pin cannot do without, as a C program would do it.
///
/// It reads an entry, looks up its pageblock, adds to its record and writes the pfn. The tables have
/// the sizes of the model's, and huge pages under them as the model's have.
@safe struct Loop: ~Copyable {
  private let isLarge: Bool
  private let count: Int
  private let entries: UnsafeMutablePointer<UInt64>
  /// 16 bytes a page, 24 a leaf.
  private let records: UnsafeMutablePointer<UInt32>
  /// Of leaves: accessed or not.
  private let states: UnsafeMutablePointer<UInt32>
  private let words: UnsafeMutablePointer<UInt32>
  private let classes: UnsafeMutablePointer<UInt8>
  private let mappings: [(memory: UnsafeMutableRawPointer, bytes: Int)]

  /// Takes the placement of a guest.
  init(_ guest: borrowing Guest, isLarge: Bool) {
    let step = isLarge ? 512 : 1
    let frames = guest.machine.frames.count / step
    var mappings = unsafe [(memory: UnsafeMutableRawPointer, bytes: Int)]()
    func table<Element>(_ count: Int, _: Element.Type) -> UnsafeMutablePointer<Element> {
      let bytes = ((count * MemoryLayout<Element>.stride) >> 21 + 1) << 21
      let memory = unsafe mmap(
        nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)!
      unsafe madvise(memory, bytes, MADV_HUGEPAGE)
      unsafe mappings.append((memory, bytes))
      return unsafe memory.bindMemory(to: Element.self, capacity: count)
    }
    self.isLarge = isLarge
    count = guest.pages / step
    unsafe entries = table(count, UInt64.self)
    unsafe records = table(frames * (isLarge ? 6 : 4), UInt32.self)
    unsafe states = table(isLarge ? frames : 1, UInt32.self)
    unsafe words = table(count * (isLarge ? 2 : 1), UInt32.self)
    unsafe classes = table(guest.machine.frames.count >> 9, UInt8.self)
    for index in 0..<count {
      let pfn = guest.machine.frame(guest.space, page: guest.start + index * step)!.rawValue
      unsafe entries[index] = UInt64(isLarge ? pfn >> 9 : pfn) << 32 | 3
    }
    unsafe self.mappings = mappings
  }

  deinit { unsafe mappings.forEach { unsafe munmap($0.memory, $0.bytes) } }

  func pin() { isLarge ? pinLeaves() : pinPages() }

  private func pinPages() {
    for index in 0..<count {
      let raw = unsafe entries[index]
      if raw & 3 != 3 { break }
      let pfn = Int(truncatingIfNeeded: raw >> 32)
      if unsafe classes[pfn >> 9] == 4 { break }
      unsafe records[4 &* pfn] &+= 1024
      unsafe words[index] = UInt32(truncatingIfNeeded: pfn)
    }
  }

  private func pinLeaves() {
    for index in 0..<count {
      let raw = unsafe entries[index]
      if raw & 3 != 3 { break }
      let block = Int(truncatingIfNeeded: raw >> 32)
      if unsafe classes[block] == 4 { break }
      unsafe records[6 &* block] &+= 512
      unsafe records[6 &* block &+ 1] &+= 512
      unsafe states[block] |= 1
      unsafe words[2 &* index] = 0x8000_0200
      unsafe words[2 &* index &+ 1] = UInt32(truncatingIfNeeded: block) << 9
    }
  }
}

/// Touches as much memory as the rows below need, and gives it back.
///
/// The first touch inside a virtual machine may wait for its host: 220 instead of 10 ns a page of
/// the guest.
func warmUp(_ bytes: Int) {
  let spent = seconds {
    guard
      let memory = unsafe mmap(
        nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
      unsafe memory != MAP_FAILED
    else { return }
    unsafe madvise(memory, bytes, MADV_HUGEPAGE)
    for offset in stride(from: 0, to: bytes, by: 4096) {
      unsafe memory.storeBytes(of: 1, toByteOffset: offset, as: UInt8.self)
    }
    unsafe munmap(memory, bytes)
  }
  row(
    "first touch of this computer's memory, a GiB", spent / Double(bytes >> 30), " s", digits: 2,
    .none("what this computer gives"))
}

/// The groups of rows that a guest has, to be chosen by name on the command line.
enum GuestRows: String, CaseIterable {
  case contiguous, shuffled, shmem, huge, migration, interrupt
}

/// Rows of a guest of `gib` GiB.
func benchmarkGuest(gib: Int, _ rows: [GuestRows]) throws {
  let pages = gib << 18
  let ram = gib * 5 / 3 + 2
  // 36 bytes a page, and the loop's tables.
  warmUp(max(1 << 30, pages * (rows == [.huge] ? 1 : 60)))
  if !rows.filter({ $0 != .huge && $0 != .migration && $0 != .interrupt }).isEmpty {
    print("-- a guest of \(gib) GiB in 4 KiB pages")
  }
  for group in rows {
    switch group {
    case .contiguous:
      let before = resident()
      var guest = try Guest(pages: pages, configuration(gib: ram), hugePages: false)
      pageRow(
        "populate, 4 KiB anonymous", guest.populate(), pages, .atMost(20),
        real: Real.populate4K)
      let bytes = (resident() - before) * 1_048_576 / Double(pages)
      row("  resident a page, tables included", bytes, " B", .atMost(40))
      try benchmarkPins(&guest, "contiguous")
      pageRow("munmap", guest.unmap(), pages, .atMost(20))
    case .shuffled:
      var guest = try Guest(pages: pages, configuration(gib: ram), hugePages: false)
      try guest.shuffle()
      try benchmarkPins(&guest, "shuffled")
    case .shmem: try benchmarkShmem(gib: max(1, gib / 4))
    case .huge: try benchmarkLeaves(gib: gib)
    case .migration: try benchmarkMigration(gib: max(1, gib / 4))
    case .interrupt: try benchmarkInterrupts(gib: gib)
    }
  }
}

/// A memfd of 4 KiB pages.
func benchmarkShmem(gib: Int) throws {
  let pages = gib << 18
  var guest = try Guest(
    pages: pages, configuration(gib: gib * 5 / 3 + 2), hugePages: false, shmem: true)
  pageRow(
    "populate, 4 KiB shmem, \(gib) GiB", guest.populate(), pages, .atMost(20),
    real: Real.populateShmem)
  for entryPoint in [PinEntryPoint.fast, .locked] {
    let (timing, pin) = guest.pin(entryPoint)
    pageRow("  pin, long-term, \(entryPoint.rawValue)", timing, pages, .open)
    pageRow("  unpin", guest.unpin(pin), pages, .open)
  }
  pageRow("  munmap", guest.unmap(), pages, .atMost(20))
}

/// A guest in 2 MiB pages.
func benchmarkLeaves(gib: Int) throws {
  print("-- \(gib) GiB in 2 MiB pages, ns a 2 MiB page")
  let pages = gib << 18
  let leaves = pages >> 9
  var guest = try Guest(pages: pages, configuration(gib: gib * 5 / 3 + 2), hugePages: true)
  func populate(_ round: String) {
    let populated = guest.populate()
    pageRow("populate, 2 MiB, \(round)", populated, leaves, .atMost(326), real: Real.populate2M)
    row("  all of it", populated.seconds * 1000, " ms", .none("50 ms for 300 GiB"))
  }
  populate("first")
  // A round takes a millisecond or two.
  let best = guest.rounds(50, isLarge: true)
  let baseline = best.loop / Double(leaves) * 1e9
  row("  the loop", baseline, " ns", digits: 2, .baseline)
  pageRow("walker", best.walk, leaves, .atMost(1.2), baseline: baseline)
  for (index, entryPoint) in PinRounds.entryPoints.enumerated() {
    let timing = best.pins[index]
    pageRow(
      "pin, long-term, \(entryPoint.rawValue)", timing, leaves, .atMost(1.2),
      baseline: baseline, real: Real.pinFast2M)
    row("  all of it", timing.seconds * 1000, " ms", digits: 2, .none("5 ms for 300 GiB"))
    pageRow("  unpin", best.unpins[index], leaves, .open, real: Real.unpin2M)
  }
  pageRow("munmap", guest.unmap(), leaves, .open)
  guard
    try guest.machine.mapArea(
      guest.space, start: guest.start, pages: pages, [.read, .write], .anonymous
    ).get() == guest.start
  else { fatalError("no area") }
  // This round finds the model's own tables touched.
  populate("again")
  pageRow("munmap", guest.unmap(), leaves, .open)
}

func benchmarkPins(_ guest: inout Guest, _ placement: String) throws {
  let pages = guest.pages
  let best = guest.rounds(3, isLarge: false)
  let baseline = best.loop / Double(pages) * 1e9
  row("  the loop, \(placement)", baseline, " ns", digits: 2, .baseline)
  pageRow("walker, \(placement)", best.walk, pages, .atMost(1.1), baseline: baseline)
  for (index, entryPoint) in PinRounds.entryPoints.enumerated() {
    pageRow(
      "pin, long-term, \(entryPoint.rawValue)", best.pins[index], pages, .atMost(1.5),
      baseline: best.walk.nanoseconds(pages),
      real: entryPoint == .fast ? Real.pinFast4K : Real.pinSlow4K)
    pageRow("  unpin", best.unpins[index], pages, .atMost(20), real: Real.unpin4K)
  }
}

extension Guest {
  /// Maps frames in random order, as no sequence of faults does.
  mutating func shuffle() throws {
    var runs: [PFNRun] = []
    guard machine.allocateRuns(count: pages, gfp: .highUserMovable, into: &runs) == nil else {
      fatalError("no memory")
    }
    // As the faults of a large population ask for it; the loop beside it has huge pages, too.
    machine.expectDenseTables(pages: pages)
    for run in runs { machine.expectDenseFolios(around: run) }
    var frames: [PFN] = []
    frames.reserveCapacity(pages)
    for run in runs { for index in 0..<run.count { frames.append(run[index]) } }
    var random = SplitMix64(seed: 1)
    frames.shuffle(using: &random)
    let region = machine.addRegion(base: start, space: space)
    guard machine.installAnonymous(space, page: start, frames, region) == pages else {
      fatalError("no memory")
    }
  }
}

/// Long-term pins of memory that lies where it may not stay.
func benchmarkMigration(gib: Int) throws {
  let pages = gib << 18
  for hugePages in [false, true] {
    let movable = pages + pages / 8 + (1 << 16)
    let configuration = try configuration(gib: gib * 5 / 2 + 2, movable: movable)
    var guest = try Guest(pages: pages, configuration, hugePages: hugePages)
    _ = guest.populate()
    let (timing, pin) = guest.pin(.fast)
    // Of a small guest some pages may lie where they may stay.
    let moved = guest.machine.event(named: "pgmigrate_success")
    if moved < pages {
      row("  of \(pages) pages it moves", Double(moved), "", digits: 0, .atLeast(Double(pages)))
    }
    pageRow(
      "pin that moves \(gib) GiB out of ZONE_MOVABLE, \(hugePages ? "2 MiB" : "4 KiB")", timing,
      pages, .atMost(60), real: hugePages ? Real.migrate2M : Real.migrate4K)
    pageRow("  unpin", guest.unpin(pin), pages, .atMost(20))
    pageRow("  munmap", guest.unmap(), pages, .atMost(20))
  }
}

/// A fork of the whole model, of 8 GiB that faults populated.
func benchmarkFork() throws {
  var guest = try Guest(
    pages: isSmoke ? 1 << 14 : 2 << 20, configuration(gib: 16), hugePages: false)
  _ = guest.populate()
  let fork = try best(of: 3) { _ = try guest.machine.fork() }
  row(
    "fork of a machine of 16 GiB, \(guest.pages >> 18) GiB populated", fork * 1000, " ms",
    .atMost(50))
}
