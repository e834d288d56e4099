import MemoryModel
import MemoryOperations

// Contiguous memory: an area full of movable pages is emptied, and an area is searched.

/// `cma_alloc()` of 1 GiB whose pages all have to move.
func benchmarkContiguous() throws {
  let gib = isSmoke ? 1 : 64
  let wanted = (gib << 18) / 64
  let area = wanted * 2
  var configuration = try configuration(gib: gib)
  configuration.cmaAreas = [.init(name: "reserved", pages: area)]
  var guest = try Guest(pages: 1, configuration, hugePages: false)
  // Pages in the area alone: others would have nowhere to go.
  let space = guest.space
  var filled = 0
  while filled < area, guest.machine.freeCMASnapshot > 512 {
    let pages = min(1 << 16, (gib << 18) - filled)
    guard
      let start = try? guest.machine.mapArea(
        space, pages: pages, [.read, .write, .noHugePage], .anonymous
      ).get()
    else { break }
    var work = PopulateOperation(
      space: space, pages: start..<start + pages, access: .write, writes: true)
    _ = run(&work, &guest.machine)
    filled += pages
    if guest.machine.freePagesInAll < 2 * wanted { break }
  }
  let before = guest.machine.event(named: "pgmigrate_success")
  var work = try guest.machine.cmaAllocation(area: 0, pages: wanted)
  let timing = run(&work, &guest.machine)
  let moved = guest.machine.event(named: "pgmigrate_success") - before
  guard let outcome = work.outcome, outcome.pfn != nil, moved > 0 else {
    return row("cma_alloc", "\(String(describing: work.outcome?.result))", "success")
  }
  row(
    "cma_alloc of \(wanted >> 8) MiB in a machine of \(gib) GiB",
    fixed(Double(moved) / timing.seconds / 1e6, 1) + " M/s", "5 M pages moved a second")
  row("  of \(wanted) pages it moves", "\(moved)", "(none)")
  row("  longest slice", fixed(timing.longestSlice * 1000, 1) + " ms", "20 ms")
}

/// The search for a free range in an area of 512 GiB of which every second page is taken.
func benchmarkAreaSearch() throws {
  let gib = isSmoke ? 4 : 512
  let pages = gib << 18
  var configuration = try configuration(gib: gib + gib / 4 + 2)
  configuration.cmaAreas = [.init(name: "reserved", pages: pages)]
  var machine = try Machine.boot(configuration)
  // Whole words of ones but for the last GiB: what a long search passes over.
  let kept = pages - 1 << 18
  guard machine.reserveCMA(area: 0, pages: kept, alignment: 0, from: 0) == 0 else {
    fatalError("no room")
  }
  for (name, holes) in [("full", false), ("with a hole every 2 MiB", true)] {
    if holes {
      for bit in stride(from: 0, to: kept, by: 512) {
        machine.unreserveCMA(area: 0, bit: bit, pages: 256)
      }
    }
    let spent = best(of: 3) {
      guard let bit = machine.reserveCMA(area: 0, pages: 1 << 18, alignment: 0, from: 0) else {
        fatalError("no room")
      }
      machine.unreserveCMA(area: 0, bit: bit, pages: 1 << 18)
    }
    row(
      "search for 1 GiB in an area of \(gib) GiB, \(name)", fixed(spent * 1000, 2) + " ms",
      "10 ms")
  }
}

extension Machine {
  fileprivate var freeCMASnapshot: Int {
    populatedZones.reduce(0) { $0 + freeCMASnapshot($1) }
  }

  fileprivate var freePagesInAll: Int {
    populatedZones.reduce(0) { $0 + freePagesSnapshot($1) }
  }
}
