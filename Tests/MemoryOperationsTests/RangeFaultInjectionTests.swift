import MemoryOperations
import ModelTesting
import Testing

@testable import MemoryModel

/// Whatever goes wrong at whichever step of `cma_alloc()`, of `alloc_contig_range()` and of offline:
/// types, bitmaps, lists and counts are afterwards those of a fork taken before, but for the pages that
/// did move; and without the trouble the same call succeeds (I1 to I16).
@Suite struct RangeFaultInjectionTests {
  /// What lies in the way.
  enum Content: String, CaseIterable, CustomTestStringConvertible {
    case nothing, anonymous, forked, shmem, file, locked, huge, hugetlb, sparePool, pool, batch
    case severalBits, contiguous, offline
    var testDescription: String { rawValue }
  }

  struct Scene: ~Copyable {
    var process: PinningProcess
    let call: RangeCall
    /// What is to become empty.
    let range: PFNRange
    /// Pages of the process that are in the way.
    let pages: [Int]

    init(
      process: consuming PinningProcess, call: RangeCall, range: PFNRange, pages: [Int]
    ) {
      self.process = process
      self.call = call
      self.range = range
      self.pages = pages
    }

    init(_ other: borrowing Scene) throws {
      let process = try PinningProcess(other.process)
      self.init(process: process, call: other.call, range: other.range, pages: other.pages)
      needsTwoCalls = other.needsTwoCalls
    }

    /// A huge page that moves to a free one of the pool leaves a free one behind, in the range; only the
    /// next call replaces it.
    ///
    /// Kernel: up to 6.14 nobody replaces it after the migration.
    var needsTwoCalls = false

    /// Gives a range back that a call was given.
    mutating func giveBack() throws {
      switch call {
      case .cma:
        try process.machine.cmaRelease(area: 0, PFN(range.start), pages: range.count)
      case .contiguous: try process.machine.freeContiguous(range)
      case .offline: try process.machine.online(at: PFN(range.start), .movable)
      }
    }

    /// Takes away what stands in the way for a while.
    mutating func putReferences() {
      for reference in process.machine.temporaryReferences {
        process.machine.putTemporaryReference(reference.id)
      }
    }

    /// The frame behind a page that is in the way, the n-th of those that are there.
    func obstacle(_ nth: Int) -> PFN? {
      let found = pages.compactMap { process.machine.frame(process.id, page: $0) }
        .filter { range.contains($0) && process.machine.folio(of: $0) != nil }
      return found.isEmpty ? nil : found[nth % found.count]
    }
  }

  // MARK: Scenes

  static func scene(_ content: Content) throws -> Scene {
    switch content {
    case .hugetlb, .sparePool, .pool: return try hugetlbScene(content)
    case .huge: return try hugeScene()
    case .offline: return try offlineScene()
    default: break
    }
    var configured = try PinningProcess(megabytes: 24, cma: 6, cpus: 2)
    if content == .severalBits {
      configured = try PinningProcess(megabytes: 24, cma: 6, cpus: 2, orderPerBit: 4)
    }
    let area = configured.machine.cmaAreas[0]
    let count = 6
    var pages: [Int] = []
    switch content {
    case .nothing: break
    case .shmem, .file:
      let file = try configured.machine.createFile(
        content == .shmem ? .shmem : .regular, name: "f", pages: 2000
      ).get()
      pages = try inArea(&configured, count, file: file)
    case .batch:
      pages = try inArea(&configured, count)
      configured.machine.run(onCPU: 1)
      // A page that is on its way to the LRU in the batch of the other CPU.
      let start = try configured.machine.mapArea(
        configured.id, pages: 3, [.read, .write], .anonymous
      ).get()
      _ = configured.machine.faultRange(configured.id, start..<start + 3, .write)
      pages += start..<start + 3
      configured.machine.run(onCPU: 0)
    default: pages = try inArea(&configured, count)
    }
    if content == .forked {
      var fork = ForkOperation(parent: configured.id, name: "child")
      fork.run(&configured.machine)
    }
    if content == .locked {
      for page in pages {
        _ = try configured.machine.mlock(configured.id, page..<page + 1).get()
      }
      configured.machine.drainAllLRU()
    }
    configured.machine.drainAllPages()
    configured.machine.clearTrace()
    var range = area.range
    var call = RangeCall.cma(
      try configured.machine.cmaAllocation(area: 0, pages: area.pages, noWarn: true))
    if content == .contiguous {
      // Begins and ends inside of pageblocks.
      range = PFNRange(area.base + 100, area.range.end - 100)
      call = .contiguous(try configured.machine.contiguousAllocation(of: range, .cmaAllocation))
    }
    return Scene(process: configured, call: call, range: range, pages: pages)
  }

  /// Some pages of a larger area that lie in CMA, the others given back.
  private static func inArea(
    _ process: inout PinningProcess, _ count: Int, file: Int? = nil
  ) throws -> [Int] {
    let area = process.machine.cmaAreas[0]
    let start = try process.populated(1500, file: file)
    let found = (start..<start + 1500).filter { page in
      process.machine.frame(process.id, page: page).map(area.range.contains) ?? false
    }
    try #require(found.count >= count, "only \(found.count) pages lie in the area")
    // Some neighbours, and some all over the area.
    let kept = Set(found.prefix(count / 2) + found.suffix(count - count / 2))
    for page in start..<start + 1500 where !kept.contains(page) {
      if let file {
        _ = try process.machine.unmap(process.id, page..<page + 1).get()
        _ = process.machine.punchHole(file, page - start..<page - start + 1)
      } else {
        _ = try process.machine.unmap(process.id, page..<page + 1).get()
      }
    }
    process.machine.drainAllLRU()
    return kept.sorted()
  }

  /// A memory block in ZONE_MOVABLE of a machine with pages of 64 KiB, where blocks are 16 pageblocks.
  static func offlineScene(pages count: Int = 8) throws -> Scene {
    var process = try PinningProcess(
      megabytes: 1280, cma: 0, movable: 512, cpus: 2, geometry: .ppc64)
    let shmem = try process.machine.createFile(.shmem, name: "f", pages: 4).get()
    let start = try process.populated(count)
    let other = try process.populated(4, file: shmem)
    let size = process.machine.geometry.memoryBlockPages
    let first = try process.frame(start).index / size * size
    let range = PFNRange(first, first + size)
    process.machine.drainAllPages()
    let (found, _) = try process.machine.memoryOffline(at: PFN(first))
    let call = try #require(found)
    let pages = [start + 1, start + 2, start + 4, other]
    return Scene(process: process, call: .offline(call), range: range, pages: pages)
  }

  private static func hugeScene() throws -> Scene {
    var process = try PinningProcess(megabytes: 64, cma: 32, thp: true)
    let start = try process.machine.mapArea(
      process.id, pages: 8 * 512, [.read, .write], .anonymous
    ).get()
    _ = process.machine.faultRange(process.id, start..<start + 8 * 512, .write, writes: true)
    process.machine.drainAllLRU()
    let area = process.machine.cmaAreas[0]
    let found = stride(from: start, to: start + 8 * 512, by: 512).filter { page in
      process.machine.frame(process.id, page: page).map {
        area.range.contains($0) && process.machine.folio(of: $0)?.order == 9
      } ?? false
    }
    let head = try #require(found.first)
    for page in stride(from: start, to: start + 8 * 512, by: 512) where page != head {
      _ = try process.machine.unmap(process.id, page..<page + 512).get()
    }
    let pfn = try process.frame(head)
    process.machine.drainAllPages()
    let range = PFNRange(pfn.index, pfn.index + 512)
    let call = try process.machine.contiguousAllocation(of: range, .cmaAllocation, noWarn: true)
    return Scene(process: process, call: .contiguous(call), range: range, pages: [head])
  }

  private static func hugetlbScene(_ content: Content) throws -> Scene {
    var process = try PinningProcess(megabytes: 64, cma: 32)
    _ = try process.machine.setHugePages(order: 9, count: content == .hugetlb ? 1 : 3)
    let area = process.machine.cmaAreas[0]
    var pages: [Int] = []
    if content != .pool {
      let file = try process.machine.createFile(.hugetlb(order: 9), name: "h", pages: 512).get()
      let start = try process.machine.mapArea(
        process.id, pages: 512, [.read, .write, .shared], .file(file, offset: 0)
      ).get()
      _ = process.machine.faultRange(process.id, start..<start + 512, .write)
      pages = [start]
    }
    process.machine.drainAllPages()
    let shown = pages.first.flatMap { process.machine.frame(process.id, page: $0) }
    let free = process.machine.freeHugePages(order: 9).first { area.range.contains($0) }
    let pfn = try #require(shown ?? free)
    try #require(area.range.contains(pfn))
    let range = PFNRange(pfn.index, pfn.index + 512)
    let call = try process.machine.contiguousAllocation(of: range, .cmaAllocation, noWarn: true)
    var scene = Scene(process: process, call: .contiguous(call), range: range, pages: pages)
    scene.needsTwoCalls = content == .sparePool
    return scene
  }

  // MARK: After a call

  private func sound(_ scene: borrowing Scene) -> String? {
    scene.process.sound ?? scene.process.machine.brokenCount()
      ?? scene.process.machine.violations.first
  }

  /// Looks at a machine after a call, takes the trouble away, and calls again.
  private func conclude(
    _ scene: inout Scene, _ call: RangeCall, _ before: MachineFacts?, splits: Int, _ note: Comment
  ) throws {
    #expect(call.isFinished, note)
    #expect(sound(scene) == nil, note)
    scene.process.machine.failAllocation = 0
    scene.putReferences()
    for record in scene.process.machine.pins {
      var unpin = UnpinOperation(pin: record, dirty: false)
      unpin.run(&scene.process.machine)
    }
    if call.refusal == nil { try scene.giveBack() }
    let maySplit = scene.process.machine.event(named: "thp_split_page") > splits
    let after = try MachineFacts(scene.process.machine)
    // I12: what moved and what failed, and no more splits than failures.
    let counts = Deltas(scene.process.machine)
    #expect(counts.value("thp_migration_fail") >= counts.value("thp_migration_split"), note)
    if let before {
      let harm = after.harm(
        since: before, reclaimed: call.reclaimed, maySplit: maySplit, in: scene.range)
      #expect(harm == nil, note)
      #expect(call.migrated > 0 || maySplit || after.moved(since: before) == 0, note)
    }
    var again = scene.call
    again.run(&scene.process.machine, rounds: 50)
    if again.refusal != nil, scene.needsTwoCalls {
      again = scene.call
      again.run(&scene.process.machine, rounds: 50)
    }
    #expect(again.refusal == nil, "\(note.rawValue): again: \(String(describing: again.refusal))")
    #expect(sound(scene) == nil, note)
    if again.refusal == nil { try scene.giveBack() }
    let last = try MachineFacts(scene.process.machine)
    let reclaimed = again.reclaimed + (before == nil ? 0 : call.reclaimed)
    let harm = last.harm(
      since: before ?? after, reclaimed: reclaimed, maySplit: maySplit, in: scene.range)
    #expect(harm == nil, "\(note.rawValue), after the second call")
  }

  /// Does something before some steps of a call, each time with a fork, and looks at what is left.
  ///
  /// - Parameters:
  ///   - moments: About how many steps to try; the first and the last of each kind always.
  ///   - changes: The trouble changes memory itself, so that only counts and invariants are looked at.
  private func inject(
    _ start: consuming Scene, moments: Int, _ name: String, changes: Bool = false,
    _ trouble: (inout Scene, inout RangeCall, Int) throws -> Void
  ) throws {
    var whole = try Scene(start)
    let before = try MachineFacts(start.process.machine)
    let splits = start.process.machine.event(named: "thp_split_page")
    var call = whole.call
    var steps: [String] = []
    while !call.isFinished, steps.count < 50_000 {
      steps.append(call.nextStep(whole.process.machine).id)
      call.advance(&whole.process.machine, .step)
      #expect(sound(whole) == nil, "\(name), undisturbed, behind step \(steps.count)")
    }
    try conclude(&whole, call, before, splits: splits, "\(name), undisturbed")
    var chosen = Set(stride(from: 0, to: steps.count, by: max(1, steps.count / moments)))
    for (index, step) in steps.enumerated()
    where steps.firstIndex(of: step) == index || steps.lastIndex(of: step) == index {
      chosen.insert(index)
    }
    var now = try Scene(start)
    call = now.call
    for step in steps.indices {
      if chosen.contains(step) {
        var fork = try Scene(now)
        var copy = call
        let note = Comment(rawValue: "\(name) before step \(step) (\(steps[step]))")
        try trouble(&fork, &copy, step)
        #expect(sound(fork) == nil, "\(note.rawValue), at once")
        var done = 0
        while !copy.isFinished, done < 20_000 {
          if copy.rounds > 3 { copy.setSignal() }
          if copy.advance(&fork.process.machine, done < 200 ? .step : .slice) {
            fork.putReferences()
          }
          done += 1
          // After every step where the trouble is, later now and then.
          if done < 10 || (done + step) % 17 == 0 {
            #expect(sound(fork) == nil, "\(note.rawValue), \(done) steps behind it")
          }
        }
        try conclude(&fork, copy, changes ? nil : before, splits: splits, note)
      }
      call.advance(&now.process.machine, .step)
    }
  }

  // MARK: Troubles

  @Test("A fatal signal comes before step k", arguments: Content.allCases)
  func signal(content: Content) throws {
    try inject(Self.scene(content), moments: 24, "\(content), signal") { scene, call, _ in
      call.interrupt(&scene.process.machine)
      // Behind the migration nobody looks at signals any more.
      let isLate =
        content == .sparePool
        ? call.refusal?.errno == .EBUSY : content == .offline && call.refusal == nil
      #expect(call.refusal?.errno == .EINTR || isLate)
    }
  }

  @Test(
    "Somebody takes a reference before step k",
    arguments: Content.allCases.filter { $0 != .nothing && $0 != .pool })
  func reference(content: Content) throws {
    try inject(Self.scene(content), moments: 24, "\(content), reference") { scene, _, step in
      guard let page = scene.obstacle(step) else { return }
      _ = scene.process.machine.takeTemporaryReference(page, holder: "a lookup")
    }
  }

  @Test(
    "Somebody isolates a page before step k",
    arguments: [Content.anonymous, .shmem, .huge, .contiguous, .offline])
  func isolation(content: Content) throws {
    try inject(Self.scene(content), moments: 16, "\(content), isolation") { scene, _, step in
      guard let page = scene.obstacle(step) else { return }
      _ = scene.process.machine.isolate(page, holder: "reclaim")
    }
  }

  @Test(
    "A page is pinned before step k",
    arguments: [Content.anonymous, .shmem, .huge, .hugetlb, .offline])
  func pin(content: Content) throws {
    try inject(Self.scene(content), moments: 16, "\(content), pin") { scene, _, step in
      let page = scene.pages[step % scene.pages.count]
      guard scene.process.machine.frame(scene.process.id, page: page) != nil else { return }
      _ = try scene.process.pin(page, 1, [.write], fast: true)
    }
  }

  @Test(
    "The owner of a page throws it away before step k",
    arguments: [Content.anonymous, .forked, .shmem, .huge, .hugetlb, .batch, .contiguous, .offline])
  func discard(content: Content) throws {
    try inject(Self.scene(content), moments: 24, "\(content), discard", changes: true) {
      scene, _, step in
      let id = scene.process.id
      let page = scene.pages[step % scene.pages.count]
      let (area, level) = (
        scene.process.machine.spaces[id].area(page),
        scene.process.machine.entry(id, page: page).level
      )
      guard area != nil else { return }
      _ = try scene.process.machine.unmap(id, page..<page + 1 << level.order).get()
    }
  }

  @Test(
    "Somebody else allocates and frees before step k",
    arguments: [Content.nothing, .contiguous, .offline])
  func neighbours(content: Content) throws {
    var random = SplitMix64(seed: 11)
    try inject(Self.scene(content), moments: 40, "\(content), neighbours") { scene, _, _ in
      // They may come from what is not isolated of the area, in front of the range, too.
      for order in [0, random.below(4), 9] {
        let gfp: GFPFlags = [.highUserMovable, .noWarn]
        let result = scene.process.machine.allocatePages(order: order, gfp: gfp)
        if let pfn = result.pfn { try scene.process.machine.freePages(pfn, order: order) }
      }
      scene.process.machine.drainAllPages()
    }
  }

  @Test("Pages in front of the range become free before step k")
  func front() throws {
    var start = try Self.scene(.nothing)
    let area = start.process.machine.cmaAreas[0]
    // cma_alloc of what lies in front, so that its pages are somebody's.
    let given = try start.process.machine.cmaAllocate(area: 0, pages: 100)
    try #require(given.pfn == PFN(area.base))
    start.process.machine.drainAllPages()
    let range = PFNRange(area.base + 100, area.range.end)
    let call = try start.process.machine.contiguousAllocation(of: range, .cmaAllocation)
    let process = try PinningProcess(start.process)
    try inject(
      Scene(process: process, call: .contiguous(call), range: range, pages: []), moments: 100,
      "front", changes: true
    ) { scene, _, _ in
      try scene.process.machine.cmaRelease(area: 0, PFN(area.base), pages: 100)
    }
  }

  @Test(
    "Somebody else wants the same range before step k",
    arguments: [Content.nothing, .anonymous, .offline])
  func rival(content: Content) throws {
    try inject(Self.scene(content), moments: 24, "\(content), rival") { scene, call, step in
      let size = scene.process.machine.geometry.pageblockPages
      let range = PFNRange(scene.range.start + size, scene.range.start + size + 30)
      var rival = try scene.process.machine.contiguousAllocation(
        of: range, content == .offline ? .contiguousPages : .cmaAllocation)
      if rival.run(&scene.process.machine) == nil { rival.interrupt(&scene.process.machine) }
      if rival.outcome?.refusal == nil { try scene.process.machine.freeContiguous(range) }
    }
  }

  @Test(
    "The n-th allocation fails",
    arguments: Content.allCases.filter { $0 != .nothing && $0 != .sparePool })
  func allocation(content: Content) throws {
    let start = try Self.scene(content)
    let before = try MachineFacts(start.process.machine)
    let splits = start.process.machine.event(named: "thp_split_page")
    var failures = 0
    for nth in 1...40 {
      var scene = try Scene(start)
      scene.process.machine.failAllocation = nth
      var call = scene.call
      call.run(&scene.process.machine, rounds: 3)
      let wasUsed = scene.process.machine.failAllocation == 0
      try conclude(&scene, call, before, splits: splits, "\(content), allocation \(nth) fails")
      if !wasUsed { break }
      failures += 1
    }
    #expect(failures > 0, "\(content) asks for no page")
  }
}
