import MemoryGuests
import MemoryModel
import MemoryOperations
import Testing

@Suite struct GuestTests {
  private func machine(_ bytes: Int = 256 << 20, cma: Int = 0) throws -> Machine {
    var configuration = MachineConfiguration()
    try configuration.layOut(bytesPerNode: [bytes])
    configuration.cmaAreas =
      cma == 0 ? [] : [MachineConfiguration.CMARequest(name: "cma", pages: cma >> 12)]
    return try Machine.boot(configuration)
  }

  private func guest(
    _ machine: inout Machine, ram: Int, _ change: (inout GuestConfiguration) -> Void = { _ in }
  ) throws -> Int {
    var configuration = GuestConfiguration(name: "vm0", ram: ram)
    change(&configuration)
    return try machine.createGuest(configuration).get()
  }

  /// The same seed gives the same frames, another seed others; the state is that of a populated
  /// guest either way.
  @Test func shuffled() throws {
    func frames(_ seed: UInt64) throws -> [PFN?] {
      var machine = try machine()
      let space = try guest(&machine, ram: 4 << 20)
      let ram = machine.spaces[space].ram
      var placement = ShuffledPlacement(space: space, pages: ram, seed: seed)
      placement.run(&machine)
      #expect(try placement.outcome?.get() == 1024)
      let broken = machine.check() ?? machine.checkMemory()
      #expect(broken == nil)
      let listed = machine.lruCount(node: 0, .activeAnon)
      #expect(listed == 1024)
      return ram.map { machine.frame(space, page: $0) }
    }
    let one = try frames(1)
    #expect(try frames(1) == one)
    let other = try frames(2)
    #expect(other != one)
    #expect(Set(other) == Set(one))
  }

  /// A guest that does not fit leaves nothing behind.
  @Test func shuffledWithoutMemory() throws {
    var machine = try machine(64 << 20)
    let free = machine.freePagesSnapshot(1)
    let space = try guest(&machine, ram: 128 << 20)
    var placement = ShuffledPlacement(
      space: space, pages: machine.spaces[space].ram, seed: 1)
    placement.run(&machine)
    #expect(throws: Refusal.self) { try placement.outcome?.get() }
    machine.exit(space)
    machine.drainAllPages()
    let after = machine.freePagesSnapshot(1)
    #expect(after == free)
    let broken = machine.checkMemory()
    #expect(broken == nil)
  }

  @Test func offsetsSurviveFork() throws {
    var machine = try machine()
    let space = try guest(&machine, ram: 1 << 20)
    var fork = ForkOperation(parent: space, name: "child")
    fork.run(&machine)
    let child = try #require(try fork.outcome?.get())
    let ranges = [space, child].map { machine.spaces[$0].ram }
    #expect(ranges[0] == ranges[1])
    let found = machine.guest(named: "child")
    #expect(found == child)
    machine.exit(child)
    let gone = machine.guest(named: "child")
    #expect(gone == nil)
  }

  // MARK: why

  @Test func whyOfAHeldPage() throws {
    var machine = try machine()
    let space = try guest(&machine, ram: 1 << 20)
    let ram = machine.spaces[space].ram
    var touch = PopulateOperation(space: space, pages: ram, access: .write)
    touch.run(&machine)
    let shown = machine.frame(space, page: ram.lowerBound + 3)
    let pfn = try #require(shown)

    let plain = machine.why(pfn)
    #expect(plain.migration?.isPossible == true)
    #expect(plain.places.map(\.address) == [(ram.lowerBound + 3) << 12])
    #expect(plain.holders.isEmpty)

    machine.beginOperation()
    let taken = machine.takeTemporaryReference(pfn, holder: "a scanner")
    let id = try #require(taken)
    let held = machine.why(pfn)
    #expect(held.migration?.isPossible == false)
    #expect(held.migration?.rule == "P4.6")
    #expect(held.holders.map(\.text) == ["a scanner"])
    #expect(held.holders.map(\.operation) == [1])
    machine.putTemporaryReference(id)
    let later = machine.why(pfn)
    #expect(later.migration?.isPossible == true)
  }

  /// References, mappings and holders of `why` add up for every page, whatever was done.
  @Test func whyAccountsForEverything() throws {
    var machine = try machine(512 << 20, cma: 128 << 20)
    let space = try guest(&machine, ram: 8 << 20)
    let ram = machine.spaces[space].ram
    var touch = PopulateOperation(space: space, pages: ram, access: .write, drains: false)
    touch.run(&machine)
    var pin = Pin(
      PinRequest(
        space: space, startPage: ram.lowerBound + 5, pages: 700, flags: [.write, .longTerm]))
    pin.run(&machine)
    var fork = ForkOperation(parent: space, name: "child")
    fork.run(&machine)
    for page in ram {
      guard let pfn = machine.frame(space, page: page) else { continue }
      let answer = machine.why(pfn)
      let facts = try #require(answer.facts)
      let known = answer.holders.filter { $0.kind != .unknown }.reduce(0) { $0 + $1.references }
      #expect(facts.references == facts.expectedReferences + known, "\(answer)")
      #expect(!answer.places.isEmpty)
    }
  }

  @Test func whyOfOtherPages() throws {
    var machine = try machine()
    let first = machine.why(PFN(0))
    #expect(first.state == .reserved || first.state == .hole)
    let allocated = machine.allocatePages(order: 0, gfp: .kernel).pfn
    let kernel = machine.why(try #require(allocated))
    #expect(kernel.migration?.isPossible == false)
    #expect(kernel.pinning == nil)
  }
}
