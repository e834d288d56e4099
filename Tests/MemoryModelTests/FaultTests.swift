import ModelTesting
import Testing

@testable import MemoryModel

/// A machine of one node, with a process.
struct Process: ~Copyable {
  var machine: Machine
  var id: Int

  init(megabytes: Int = 64, hugePages: Bool = true, cpus: Int = 1, cma: Int = 0) throws {
    var configuration = MachineConfiguration()
    try configuration.layOut(bytesPerNode: [megabytes << 20])
    configuration.cpuNodes = Array(repeating: 0, count: cpus)
    if cma > 0 { configuration.cmaAreas = [.init(name: "reserved", pages: cma)] }
    var booted = try Machine.boot(configuration)
    booted.settings.transparentHugePages = hugePages
    id = booted.createSpace(name: "p") ?? 0
    machine = booted
  }

  init(_ other: borrowing Process) throws {
    id = other.id
    machine = try other.machine.fork()
  }

  mutating func map(
    _ pages: Int, at start: Int? = nil, _ flags: MemoryArea.Flags = [.read, .write],
    _ backing: MemoryArea.Backing = .anonymous
  ) throws -> Int {
    try machine.mapArea(id, start: start, pages: pages, flags, backing).get()
  }

  func folio(_ page: Int) throws -> Folio {
    let shown = machine.frame(id, page: page)
    let pfn = try #require(shown)
    let folio = machine.folio(of: pfn)
    return try #require(folio)
  }

  var sound: String? { machine.check() ?? machine.checkMemory() }
}

@Suite struct FaultTests {
  @Test("P1.8: an anonymous page has a reference for its entry, and one while it waits in a batch")
  func anonymousPage() throws {
    var process = try Process(hugePages: false)
    let start = try process.map(64)
    let run = process.machine.faultRange(process.id, start..<start + 40, .write)
    #expect(run.done == 40 && run.faults == 40 && run.refusal == nil)
    // P1.22: the 31st addition flushed the batch.
    let first = try process.folio(start)
    let last = try process.folio(start + 39)
    #expect(process.machine.references(first) == 1)
    #expect(process.machine.references(last) == 2)
    #expect(process.machine.frames.head(first.head).isLRU)
    #expect(!process.machine.frames.head(last.head).isLRU)
    #expect(process.machine.mappings(last) == 1)
    #expect(process.machine.event(.pgfault) == 40)
    #expect(process.machine.total(.anonMapped) == 40)
    // A PTE table, a PMD table, a PUD table.
    #expect(process.machine.total(.pageTable) == 3)
    #expect(process.sound == nil)
  }

  @Test("P2.10, P1.8: a huge page has one reference, a leaf, and a deposited table")
  func hugePage() throws {
    var process = try Process()
    let start = try process.map(1024)
    #expect(start % 512 == 0)
    let run = process.machine.faultRange(process.id, start..<start + 1024, .write)
    #expect(run.faults == 2)
    let folio = try process.folio(start + 7)
    #expect(folio.order == 9)
    #expect(process.machine.references(folio) == 1)
    #expect(process.machine.event(.thpFaultAlloc) == 2)
    #expect(process.machine.total(.anonTHPs) == 1024)
    // PUD, PMD, and two deposits.
    #expect(process.machine.total(.pageTable) == 4)
    let found = process.machine.entrySlot(process.id, page: start, level: .pmd)
    let slot = try #require(found)
    #expect(process.machine.depositCount(table: slot / 512) == 2)
    #expect(process.sound == nil)
    // P2.22: 511 more references, and the folio stays whole.
    process.machine.splitLeaf(process.id, page: start)
    #expect(process.machine.references(folio) == 512 && process.machine.mappings(folio) == 512)
    #expect(process.machine.event(.thpSplitPMD) == 1)
    #expect(process.machine.total(.anonTHPs) == 512 && process.machine.total(.anonMapped) == 1024)
    #expect(process.sound == nil)
    // P2.23, P2.24: one page goes, the others stay; its memory does not come back.
    let free = process.machine.freePagesSnapshot(1)
    try process.machine.advise(process.id, start + 3..<start + 4, .dontNeed).get()
    #expect(process.machine.event(.thpDeferredSplitPage) == 1)
    #expect(process.machine.deferredSplits == [folio.head])
    #expect(process.machine.freePagesSnapshot(1) == free)
    _ = process.machine.faultRange(process.id, start + 3..<start + 4, .write)
    #expect(try process.folio(start + 3).order == 0)
    #expect(process.sound == nil)
  }

  @Test("P2.11: reads of empty memory share the pages of zeros; a write gets its own")
  func zeroPages() throws {
    var process = try Process()
    let start = try process.map(1024 + 16)
    _ = process.machine.faultRange(process.id, start..<start + 1040, .read)
    #expect(process.machine.frame(process.id, page: start) == process.machine.hugeZeroPage)
    #expect(process.machine.frame(process.id, page: start + 1030) == process.machine.zeroPage)
    #expect(process.machine.event(.thpZeroPageAlloc) == 1)
    #expect(process.machine.total(.anonMapped) == 0)
    #expect(process.sound == nil)
    _ = process.machine.faultRange(process.id, start + 5..<start + 6, .write)
    #expect(try process.folio(start + 5).order == 0)
    #expect(process.machine.frame(process.id, page: start + 6) == process.machine.zeroPage)
    #expect(process.sound == nil)
  }

  @Test("P1.8: shmem has a reference for the cache and one for each mapping")
  func sharedMemory() throws {
    var process = try Process()
    let file = try process.machine.createFile(.shmem, name: "memfd", pages: 1024).get()
    let start = try process.map(600, [.read, .write, .shared], .file(file, offset: 0))
    let run = process.machine.faultRange(process.id, start..<start + 600, .write)
    #expect(run.faults == 600)
    process.machine.drainLRU(cpu: 0)
    let page = try process.folio(start)
    #expect(process.machine.references(page) == 2)
    #expect(process.machine.total(.shmem) == 600 && process.machine.total(.filePages) == 600)
    #expect(process.machine.total(.fileMapped) == 600)
    let created = process.machine.createSpace(name: "q")
    let other = try #require(created)
    let second = try process.machine.mapArea(
      other, pages: 600, [.read, .shared], .file(file, offset: 0)
    ).get()
    // Sixteen pages a fault: they are cached already.
    let again = process.machine.faultRange(other, second..<second + 600, .read)
    #expect(again.faults == 38)
    #expect(process.machine.references(page) == 3)
    #expect(process.sound == nil)
    process.machine.exit(other)
    process.machine.unmap(process.id, start..<start + 600)
    #expect(process.machine.total(.fileMapped) == 0 && process.machine.total(.shmem) == 600)
    process.machine.dropUser(file)
    #expect(process.machine.total(.shmem) == 0)
    #expect(process.sound == nil)
  }

  @Test("P2.12, P1.8: a huge page of shmem has 512 references of the cache and one of its leaf")
  func hugeSharedMemory() throws {
    var process = try Process()
    let file = try process.machine.createFile(.shmem, name: "memfd", pages: 1024).get()
    process.machine.files[file].hugePages = .always
    let start = try process.map(1024, [.read, .write, .shared], .file(file, offset: 0))
    #expect(process.machine.faultRange(process.id, start..<start + 1024, .write).faults == 2)
    let folio = try process.folio(start)
    #expect(process.machine.references(folio) == 513)
    #expect(process.machine.event(.thpFileAlloc) == 2 && process.machine.event(.thpFileMapped) == 2)
    #expect(process.machine.total(.shmemTHPs) == 1024)
    #expect(process.machine.total(.shmemPMDMapped) == 1024)
    #expect(process.sound == nil)
    // A leaf of a file is unmapped by a split, not turned into 512 entries.
    process.machine.splitLeaf(process.id, page: start)
    #expect(process.machine.references(folio) == 512)
    #expect(process.machine.frame(process.id, page: start) == nil)
    #expect(process.sound == nil)
  }

  @Test("After munmap and exit nothing is left")
  func everythingComesBack() throws {
    for hugePages in [false, true] {
      var process = try Process(hugePages: hugePages)
      let before = try process.machine.fork()
      let start = try process.map(4000)
      _ = process.machine.faultRange(process.id, start..<start + 4000, .write)
      #expect(process.sound == nil)
      process.machine.unmap(process.id, start + 100..<start + 3000)
      #expect(process.sound == nil)
      process.machine.exit(process.id)
      #expect(process.sound == nil)
      #expect(process.machine.total(.anonMapped) == 0 && process.machine.total(.pageTable) == 0)
      process.machine.drainAllPages()
      // All but the frame of the top table, which it had before.
      #expect(
        process.machine.freePagesSnapshot(1) - before.freePagesSnapshot(1)
          + process.machine.freePagesSnapshot(0) - before.freePagesSnapshot(0) >= 1)
    }
  }

  @Test("A range of faults is the same as its faults one by one")
  func bulk() throws {
    for seed in Seeds.list(1...6) {
      var choices = SplitMix64(seed: seed)
      var one = try Process(megabytes: 32, hugePages: seed % 2 == 0, cma: 2048)
      let start = try one.map(3000)
      _ = one.machine.faultRange(one.id, start + 700..<start + 720, .write)
      var other = try Process(one)
      for _ in 0..<8 {
        let first = start + Int(choices.next() % 2900)
        let pages = first..<min(start + 3000, first + 1 + Int(choices.next() % 900))
        let inPinScope = choices.next() % 3 == 0
        let access: FaultAccess = choices.next() % 4 == 0 ? .read : .write
        _ = one.machine.faultRange(one.id, pages, access, inPinScope: inPinScope)
        for page in pages {
          let entry = other.machine.entry(other.id, page: page).entry
          if entry.isPresent, access == .read || entry.flags.contains(.write) {
            other.machine[entry: other.machine.entry(other.id, page: page).slot].flags
              .insert(access == .write ? [.young, .dirty] : .young)
            continue
          }
          var fault = PageFault(other.id, page: page, access, inPinScope: inPinScope)
          while other.machine.advance(&fault) == .running {}
        }
        let found = difference(one.machine, other.machine)
        #expect(found == nil, "seed \(seed)")
        #expect(one.sound == nil, "seed \(seed)")
      }
    }
  }
}
