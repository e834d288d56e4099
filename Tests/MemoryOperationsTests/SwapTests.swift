import MemoryOperations
import ModelTesting
import Testing

@testable import MemoryModel

/// Swapping out and in, on machines of one small zone.
@Suite struct SwapTests {
  /// A process with 512 pages, all written, behind its first page.
  static func process(
    swap: Int = 4096, pages: Int = 512, shared: Bool = false
  ) throws -> (Holder, Int, Int) {
    let holder = Holder(try ReclaimTests.machine(swap: swap))
    guard let space = holder.machine.createSpace(name: "p") else { throw NoSpace() }
    var backing = MemoryArea.Backing.anonymous
    var flags: MemoryArea.Flags = [.read, .write]
    if shared {
      backing = .file(
        try holder.machine.createFile(.shmem, name: "s", pages: pages).get(), offset: 0)
      flags.insert(.shared)
    }
    let start = try holder.machine.mapArea(space, pages: pages, flags, backing).get()
    _ = holder.machine.faultRange(space, start..<start + pages, .write, writes: true)
    holder.machine.drainAllLRU()
    return (holder, space, start)
  }

  /// A machine that the test macros can hold.
  final class Holder {
    var machine: Machine
    init(_ machine: consuming Machine) { self.machine = machine }

    var broken: String? { machine.check() ?? machine.checkMemory() }

    func count(_ event: VMEvent) -> Int { machine.event(event) }

    func swapped(_ space: Int) -> Int { machine.spaces[space].swapEntries }

    func entry(_ space: Int, _ page: Int) -> PageTableEntry {
      machine.entry(space, page: page).entry
    }
  }

  struct NoSpace: Error {}

  @Test func everyPageGoesOutAndComesBack() throws {
    let (holder, space, start) = try Self.process()
    #expect(holder.machine.reclaimPages(512) == 512)
    #expect(holder.swapped(space) == 512)
    #expect(holder.count(.swapOut) == 512 && holder.count(.stealAnon) == 512)
    #expect(holder.machine.swapPages.used == 512)
    #expect(holder.machine.total(.anonMapped) == 0)
    #expect(holder.broken == nil)
    let run = holder.machine.faultRange(space, start..<start + 512, .read)
    #expect(run.faults == 512)
    #expect(holder.count(.swapIn) == 512 && holder.count(.pgmajfault) == 512)
    #expect(holder.swapped(space) == 0 && holder.machine.swapPages.used == 0)
    // It was written before it went, and its owner is alone with it.
    let entry = holder.entry(space, start + 7)
    #expect(entry.flags.isSuperset(of: [.exclusive, .write]))
    #expect(holder.machine.frames.head(entry.pfn).flags.contains(.written))
    #expect(holder.broken == nil)
  }

  enum Call: CaseIterable { case reclaim, pressure, populate }

  /// Whoever wants a long call to end is heard in the middle of ageing and of a pass, by kswapd, too; nobody
  /// is killed for pages that reclaim had no time to find, and what is left to do is done the next time.
  @Test(arguments: Call.allCases) func stopsInTheMiddle(call: Call) throws {
    var ends: Set<Int> = []
    for limit in 0..<40 {
      // All are young, so there are two ageings before anything can go.
      let (holder, space, start) = try Self.process(swap: 16384, pages: 12000)
      let more = try holder.machine.mapArea(space, pages: 8000, [.read, .write], .anonymous).get()
      var asked = 0
      holder.machine.shouldStop = {
        asked += 1
        return asked > limit
      }
      switch call {
      case .reclaim: _ = holder.machine.reclaimPages(8000)
      case .pressure:
        var pressure = PressureOperation(pages: 8000, gfp: .kernel)
        while case .running = pressure.advance(&holder.machine, .slice), asked <= limit {}
        pressure.interrupt(&holder.machine)
        let record = try #require(holder.machine.pressures.first)
        #expect(asked <= limit || record.refusal == nil)
        holder.machine.releasePressure(record.id)
      case .populate: _ = holder.machine.faultRange(space, more..<more + 8000, .write)
      }
      let wasStopped = asked > limit
      holder.machine.shouldStop = nil
      ends.insert(holder.swapped(space))
      #expect(holder.broken == nil, "stopped at the \(limit)th time")
      #expect(holder.count(.oomKill) == 0)
      holder.machine.runBackground()
      #expect(holder.machine.background.pending.isEmpty)
      let rest = holder.machine.reclaimPages(12000 - holder.swapped(space))
      #expect(rest > 0 || !wasStopped)
      _ = holder.machine.faultRange(space, start..<start + 12000, .read)
      #expect(holder.broken == nil, "after the \(limit)th time")
      if !wasStopped { break }
    }
    #expect(ends.count > 3, "\(ends)")
  }

  /// Rule P9.1: a pinned page gets no slot; a plain reference keeps the page in the swap cache.
  @Test(arguments: [true, false]) func whoHoldsAPageKeepsIt(isPin: Bool) throws {
    let (holder, space, start) = try Self.process()
    let pfn = holder.entry(space, start + 5).pfn
    let folio = Folio(pfn, order: 0)
    let held = isPin ? nil : holder.machine.takeTemporaryReference(pfn, holder: "a scanner")
    if isPin { holder.machine.addPins(folio, 1) }
    _ = holder.machine.reclaimPages(511)
    #expect(holder.swapped(space) == (isPin ? 511 : 512))
    #expect(holder.count(.swapOut) == 511)
    #expect(holder.entry(space, start + 5).isPresent == isPin)
    #expect((holder.machine.swapSlot(of: folio) == nil) == isPin)
    #expect(holder.machine.total(.swapCached) == (isPin ? 0 : 1))
    // The fault finds it where it was, without reading, and a write gives the slot back.
    _ = holder.machine.faultRange(space, start + 5..<start + 6, .write)
    #expect(holder.entry(space, start + 5).pfn == pfn)
    #expect(holder.count(.pgmajfault) == 0)
    if let held {
      #expect(holder.broken == nil)
      holder.machine.putTemporaryReference(held)
    } else {
      holder.machine.dropPins(folio, 1)
    }
    #expect(holder.broken == nil)
  }

  /// After a fork both name the slot; the first reads the page into the swap cache, where the second
  /// finds it, and a write copies it.
  @Test func aSharedSlotIsReadOnce() throws {
    let (holder, parent, start) = try Self.process(pages: 31)
    _ = holder.machine.reclaimPages(31)
    var fork = ForkOperation(parent: parent, name: "child")
    guard case .success(let child)? = fork.run(&holder.machine) else { throw NoSpace() }
    #expect(holder.swapped(child) == 31)
    #expect(holder.machine.swapUses(holder.entry(parent, start).pfn.index) == 2)
    #expect(holder.broken == nil)
    _ = holder.machine.faultRange(child, start..<start + 31, .read)
    #expect(holder.count(.swapIn) == 31)
    _ = holder.machine.faultRange(parent, start..<start + 31, .read)
    #expect(holder.count(.swapIn) == 31 && holder.count(.pgmajfault) == 31)
    #expect(holder.entry(parent, start).pfn == holder.entry(child, start).pfn)
    #expect(!holder.entry(parent, start).flags.contains(.exclusive))
    #expect(holder.broken == nil)
    _ = holder.machine.faultRange(parent, start..<start + 31, .write)
    #expect(holder.entry(parent, start).pfn != holder.entry(child, start).pfn)
    #expect(holder.broken == nil)
    holder.machine.exit(child)
    #expect(holder.machine.swapPages.used == 0)
    #expect(holder.broken == nil)
  }

  @Test func slotsGoWithTheirOwner() throws {
    let (holder, space, start) = try Self.process()
    _ = holder.machine.reclaimPages(512)
    _ = holder.machine.unmap(space, start..<start + 100)
    #expect(holder.machine.swapPages.used == 412)
    _ = holder.machine.advise(space, start + 100..<start + 200, .dontNeed)
    #expect(holder.machine.swapPages.used == 312)
    #expect(holder.broken == nil)
    holder.machine.exit(space)
    #expect(holder.machine.swapPages.used == 0)
    #expect(holder.broken == nil)
  }

  /// The file of shared memory knows the slots, not the page tables.
  @Test func shmemComesBackThroughItsFile() throws {
    let (holder, space, start) = try Self.process(shared: true)
    _ = holder.machine.reclaimPages(512)
    #expect(holder.machine.files[0].swappedPages == 512)
    #expect(holder.swapped(space) == 0 && holder.entry(space, start).isNone)
    #expect(holder.machine.total(.shmem) == 0 && holder.machine.total(.filePages) == 0)
    #expect(holder.broken == nil)
    _ = holder.machine.faultRange(space, start..<start + 200, .read)
    #expect(holder.machine.files[0].swappedPages == 312)
    #expect(holder.count(.swapIn) == 200)
    #expect(holder.broken == nil)
    _ = holder.machine.punchHole(0, 150..<300)
    #expect(holder.machine.files[0].swappedPages == 212)
    #expect(holder.machine.swapPages.used == 212)
    #expect(holder.broken == nil)
  }

  /// A huge page goes out whole where a cluster of slots is free, else page by page.
  @Test(arguments: [(4096, 1, 0), (1000, 1, 0), (511, 0, 1)])
  func hugePages(slots: Int, whole: Int, broken: Int) throws {
    let holder = Holder(try ReclaimTests.machine(swap: slots))
    holder.machine.settings.transparentHugePages = true
    guard let space = holder.machine.createSpace(name: "p") else { throw NoSpace() }
    let start = try holder.machine.mapArea(
      space, start: 1 << 20, pages: 512, [.read, .write], .anonymous
    ).get()
    _ = holder.machine.faultRange(space, start..<start + 512, .write, writes: true)
    holder.machine.drainAllLRU()
    _ = holder.machine.reclaimPages(512)
    #expect(holder.machine.event(named: "thp_swpout") == whole)
    #expect(holder.machine.event(named: "thp_swpout_fallback") == broken)
    // Below 64 free slots reclaim leaves anonymous memory alone.
    #expect(holder.swapped(space) == (whole > 0 ? 512 : 511))
    #expect(holder.broken == nil)
    _ = holder.machine.faultRange(space, start..<start + 512, .read)
    #expect(holder.swapped(space) == 0 && holder.machine.swapPages.used == 0)
    #expect(holder.broken == nil)
  }

  /// A page in the swap cache moves with its slot.
  @Test func migrationTakesTheSlotAlong() throws {
    let (holder, space, start) = try Self.process(pages: 31)
    let pfn = holder.entry(space, start).pfn
    let held = holder.machine.takeTemporaryReference(pfn, holder: "a scanner")
    _ = holder.machine.reclaimPages(31)
    let found = holder.machine.swapSlot(of: Folio(pfn, order: 0))
    let slot = try #require(found)
    if let held { holder.machine.putTemporaryReference(held) }
    holder.machine.drainAllLRU()
    var list: [PFN] = []
    if holder.machine.isolateLRU(Folio(pfn, order: 0)) {
      holder.machine.countIsolated(Folio(pfn, order: 0), 1)
      list = [pfn]
    }
    #expect(list.count == 1)
    var migration = Migration(
      list, MigrationTarget(gfp: .highUserMovable, reason: .syscall), .sync)
    migration.run(&holder.machine)
    let now = holder.machine.swapCachedFrame(slot)
    let moved = try #require(now)
    #expect(moved != pfn)
    #expect(holder.broken == nil)
    _ = holder.machine.faultRange(space, start..<start + 1, .read)
    #expect(holder.entry(space, start).pfn == moved)
    #expect(holder.broken == nil)
  }

  /// With nothing left to reclaim but pins, somebody dies; what is swapped counts for the choice.
  @Test func swappedPagesCountForTheVictim() throws {
    let (holder, space, _) = try Self.process()
    _ = holder.machine.reclaimPages(512)
    let candidates = holder.machine.oomCandidates
    let candidate = try #require(candidates.first { $0.space == space })
    #expect(candidate.swapped == 512)
    #expect(candidate.points == candidate.resident + 512 + candidate.tables)
  }

  @Test func forksAndReturnsToAMark() throws {
    let (holder, space, start) = try Self.process(pages: 64)
    holder.machine.beginNoting()
    let mark = holder.machine.mark()
    _ = holder.machine.reclaimPages(64)
    #expect(holder.swapped(space) == 64)
    holder.machine.rollBack(to: mark)
    holder.machine.endNoting()
    #expect(holder.machine.swapPages.used == 0 && holder.swapped(space) == 0)
    #expect(holder.broken == nil)
    _ = holder.machine.reclaimPages(64)
    let copy = Holder(try holder.machine.fork())
    _ = holder.machine.faultRange(space, start..<start + 64, .write)
    #expect(copy.swapped(space) == 64 && copy.machine.swapPages.used == 64)
    #expect(copy.broken == nil && holder.broken == nil)
  }
}
