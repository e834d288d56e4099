import MemoryModel
import MemoryOperations

// Ctrl-C during a long pin. It is heard between two slices; then the prompt is back. What the pin had
// is given back before anybody looks at the machine again.

/// Where a pin is interrupted, by the steps of rule P10.1.
private enum PinPhase: String, CaseIterable {
  case fault = "faults in"
  case walk = "walks"
  case collect = "collects what has to move"
  case unpin = "unpins to migrate"
  case migrate = "migrates"

  init?(step: String) {
    switch step {
    case "g2": self = .walk
    case "g3": self = .fault
    case "g4": self = .collect
    case "g8": self = .unpin
    default:
      guard step == "g9" || step.hasPrefix("m") else { return nil }
      self = .migrate
    }
  }
}

/// A long-term pin of memory that has to move, interrupted in each of its phases.
func benchmarkInterrupts(gib: Int) throws {
  print("-- Ctrl-C in a long-term pin of \(gib) GiB that must leave ZONE_MOVABLE")
  let pages = gib << 18
  var random = SplitMix64(seed: 2)
  let slices = try slicesOfPhases(pages: pages, gib: gib)
  for phase in PinPhase.allCases {
    var guest = try movableGuest(pages: pages, gib: gib)
    if phase != .fault { _ = guest.populate() }
    var longestSlice = 0.0
    var longestEnd = 0.0
    var heard = 0
    let all = slices[phase, default: 1]
    // The last slice of a phase has most to give back. What has moved stays, so there is less to move
    // in the rounds after it.
    let last = phase == .migrate ? all / 2 : all - 1
    for round in 0..<3 {
      var work = guest.longTermPin
      let wanted = round == 0 ? last : random.below(max(1, last))
      var seen = 0
      while seen <= wanted {
        if PinPhase(step: work.nextStep(guest.machine).id) == phase { seen += 1 }
        var progress = Progress.finished
        let spent = seconds { progress = work.advance(&guest.machine, .slice) }
        longestSlice = max(longestSlice, spent)
        guard progress == .running else { break }
      }
      if work.outcome == nil { heard += 1 }
      longestEnd = max(longestEnd, seconds { work.interrupt(&guest.machine) })
      if let pin = work.outcome?.pin {
        // It came to its end before.
        _ = guest.unpin(pin)
      }
      precondition(
        guest.machine.pins.isEmpty, "\(phase.rawValue): \(String(describing: work.outcome))")
      if phase == .fault {
        _ = guest.unmap()
        let start = try guest.machine.mapArea(
          guest.space, start: guest.start, pages: pages, [.read, .write, .noHugePage], .anonymous
        ).get()
        precondition(start == guest.start)
      }
    }
    row(
      "while it \(phase.rawValue): until it stops (longest slice)", longestSlice * 1000, " ms",
      .atMost(100), note: heard == 3 ? "" : "\(heard) of 3 signals came in time")
    row("  giving back, before the next look", longestEnd * 1000, " ms", .open)
    let broken = guest.machine.check() ?? guest.machine.checkMemory()
    precondition(broken == nil, "\(phase.rawValue): \(broken ?? "")")
  }
}

/// How many slices of a pin each phase begins, when nobody interrupts it.
private func slicesOfPhases(pages: Int, gib: Int) throws -> [PinPhase: Int] {
  var slices: [PinPhase: Int] = [:]
  for isPopulated in [false, true] {
    var guest = try movableGuest(pages: pages, gib: gib)
    if isPopulated { _ = guest.populate() }
    var work = guest.longTermPin
    var progress = Progress.running
    while progress == .running {
      let phase = PinPhase(step: work.nextStep(guest.machine).id)
      // Faults are counted where there are any, all others where the pages lie in ZONE_MOVABLE.
      if let phase, (phase == .fault) != isPopulated { slices[phase, default: 0] += 1 }
      progress = work.advance(&guest.machine, .slice)
      if !isPopulated, phase == .collect { break }
      // Pages that moved are walked and collected again, and stay.
      if phase == .migrate, work.nextStep(guest.machine).id == "g2" { break }
    }
    work.interrupt(&guest.machine)
  }
  return slices
}

private func movableGuest(pages: Int, gib: Int) throws -> Guest {
  let movable = pages + pages / 8 + (1 << 16)
  return try Guest(
    pages: pages, configuration(gib: gib * 5 / 2 + 2, movable: movable), hugePages: false)
}

extension Guest {
  fileprivate var longTermPin: Pin {
    Pin(
      PinRequest(
        space: space, startPage: start, pages: pages, flags: [.write, .longTerm],
        entryPoint: .locked))
  }
}
