import MemoryModel
import MemoryOperations
import ModelTesting
import Testing

/// Steps that are taken back leave no trace: random work, marks, and back, beside a fork.
struct NotingTests {
  @Test("Rolling back brings every table and field back", arguments: 1...6 as ClosedRange<UInt64>)
  func rollBack(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let shared = try SharedPage(pages: 8)
    let cell = shared.cell
    let before = try cell.machine.fork()
    cell.machine.beginNoting()
    let mark = cell.machine.mark()
    for round in 0..<6 {
      let inner = cell.machine.mark()
      let copy = try cell.machine.fork()
      for _ in 0..<8 { work(&random, shared) }
      if random.below(2) == 0 {
        cell.machine.rollBack(to: inner)
        let changed = difference(cell.machine, copy)
        #expect(changed == nil, "seed \(seed), round \(round)")
      }
    }
    #expect(cell.machine.check() == nil, "seed \(seed)")
    cell.machine.rollBack(to: mark)
    let changed = difference(cell.machine, before)
    #expect(changed == nil, "seed \(seed)")
    cell.machine.endNoting()
    for _ in 0..<16 { work(&random, shared) }
    let differs = difference(cell.machine, before) != nil
    #expect(differs, "seed \(seed): the machine works on")
  }

  private func work(_ random: inout SplitMix64, _ shared: SharedPage) {
    let cell = shared.cell
    let process = random.below(2)
    let page = random.below(8)
    switch random.below(7) {
    case 0, 1:
      var pin = Pin(
        PinRequest(
          space: shared.spaces[process], startPage: shared.starts[process] + page, pages: 1,
          flags: [.write, .longTerm], entryPoint: random.below(2) == 0 ? .fast : .locked))
      pin.run(&cell.machine)
    case 2:
      if let pin = cell.machine.pins.last {
        var unpin = UnpinOperation(pin: pin, dirty: false)
        unpin.run(&cell.machine)
      }
    case 3:
      for order in 0..<3 { _ = cell.machine.allocatePages(order: order, gfp: .highUserMovable) }
    case 4:
      var fork = ForkOperation(
        parent: shared.spaces[process], name: "child \(cell.machine.spaces.count)")
      fork.run(&cell.machine)
    case 5:
      let start = shared.starts[process] + page
      var populate = PopulateOperation(
        space: shared.spaces[process], pages: start..<start + 1, access: .write)
      populate.run(&cell.machine)
    default:
      if let call = try? cell.machine.cmaAllocation(area: 0, pages: 4, alignment: 0, noWarn: true) {
        var call = call
        call.run(&cell.machine)
      }
    }
  }
}
