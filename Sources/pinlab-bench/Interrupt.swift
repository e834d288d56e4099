import MemoryModel
import MemoryOperations

// Ctrl-C during a long pin. It is heard between two slices, and then the pin gives back what it has.

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
  for phase in PinPhase.allCases {
    let movable = pages + pages / 8 + (1 << 16)
    var guest = try Guest(
      pages: pages, configuration(gib: gib * 5 / 2 + 2, movable: movable), hugePages: false)
    if phase != .fault { _ = guest.populate() }
    var longestSlice = 0.0
    var longestEnd = 0.0
    for round in 0..<3 {
      var work = Pin(
        PinRequest(
          space: guest.space, startPage: guest.start, pages: pages, flags: [.write, .longTerm],
          entryPoint: .locked))
      // The last slices of a phase have most to give back.
      let slices = pages >> (phase == .migrate ? 15 : 18)
      let wanted = round == 0 ? slices - 2 : random.below(max(1, slices))
      var seen = 0
      var step = ""
      while seen <= wanted {
        step = work.nextStep(guest.machine).id
        if PinPhase(step: step) == phase {
          seen += 1
        } else if seen > 0, phase != .fault {
          break
        }
        var progress = Progress.finished
        let spent = seconds { progress = work.advance(&guest.machine, .slice) }
        longestSlice = max(longestSlice, spent)
        guard progress == .running else { break }
      }
      longestEnd = max(longestEnd, seconds { work.interrupt(&guest.machine) })
      precondition(
        guest.machine.pins.isEmpty && work.outcome?.refusal?.errno == .EINTR,
        "\(phase.rawValue), \(step): \(String(describing: work.outcome))")
      if phase == .fault {
        _ = guest.unmap()
        let start = try guest.machine.mapArea(
          guest.space, start: guest.start, pages: pages, [.read, .write, .noHugePage], .anonymous
        ).get()
        precondition(start == guest.start)
      }
    }
    row(
      "while it \(phase.rawValue): longest slice", fixed(longestSlice * 1000, 1) + " ms", "100 ms")
    row("  giving back what it had", fixed(longestEnd * 1000, 1) + " ms", "100 ms together")
    let broken = guest.machine.check() ?? guest.machine.checkMemory()
    precondition(broken == nil, "\(phase.rawValue): \(broken ?? "")")
  }
}
