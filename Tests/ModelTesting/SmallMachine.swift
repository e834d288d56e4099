public import MemoryModel

extension Machine {
  /// A machine for tests of processes, of one node.
  ///
  /// - Parameters:
  ///   - cma: Megabytes of CMA, in one area.
  ///   - movable: Megabytes of ZONE_MOVABLE.
  ///   - wholeBlocks: Whether its last memory block is whole.
  public static func small(
    megabytes: Int, cma: Int, movable: Int = 0, thp: Bool = false, cpus: Int = 1,
    wholeBlocks: Bool = false, orderPerBit: Int = 0, geometry: Geometry = .x86_64
  ) throws -> Machine {
    var configuration = MachineConfiguration()
    configuration.geometry = geometry
    let shift = 20 - geometry.pageShift
    try configuration.layOut(bytesPerNode: [megabytes << 20])
    // Firmware keeps the last pages of low memory, so its last memory block has a hole.
    if wholeBlocks, let last = configuration.nodes[0].memory.indices.last {
      configuration.nodes[0].memory[last].end = megabytes << shift
    }
    configuration.cpuNodes = Array(repeating: 0, count: cpus)
    if cma > 0 {
      configuration.cmaAreas = [
        .init(name: "reserved", pages: cma << shift, orderPerBit: orderPerBit)
      ]
    }
    if movable > 0 { configuration.movablecore = .pages(movable << shift) }
    // They raise the watermarks, and what was raised would not be computed again.
    if geometry == .ppc64 { configuration.transparentHugePages = thp }
    var machine = try Machine.boot(configuration)
    // Boot turns them off below 512 MiB.
    machine.settings.transparentHugePages = thp
    return machine
  }
}
