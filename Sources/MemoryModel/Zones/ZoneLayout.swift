/// Where each zone lies: architecture limits, then ZONE_MOVABLE, then the node (A1.1 to A1.6).
public struct ZoneLayout {
  public struct Extent {
    /// What the zone spans, holes included.
    public var range: PFNRange
    /// Pages of memory in it.
    public var present: Int
  }

  /// Extent `node * ZoneIndex.count + index`.
  public private(set) var zones: [Extent] = []

  public init(_ configuration: MachineConfiguration) {
    let geometry = configuration.geometry
    let nodes = configuration.nodes.map { $0.memory.normalized() }
    let first = nodes.compactMap(\.first?.start).min() ?? 0
    let end = nodes.compactMap(\.last?.end).max() ?? 0
    // A limit of 0 means that the architecture has no such zone.
    let dmaEnd = min(geometry.dmaEnd, end)
    let dma32End = min(max(geometry.dma32End, dmaEnd), end)
    let limits = [
      PFNRange(first, max(first, dmaEnd)), PFNRange(max(first, dmaEnd), dma32End),
      PFNRange(max(first, dma32End), end),
    ]
    // movable_zone: the highest zone with a range of its own.
    let highest = limits.lastIndex { !$0.isEmpty } ?? ZoneIndex.normal.rawValue
    let movableStarts = Self.movableStarts(
      nodes, configuration, base: limits[highest].start)
    for (node, memory) in nodes.enumerated() {
      let span = PFNRange(memory[0].start, memory[memory.count - 1].end)
      let movable = movableStarts[node]
      for index in ZoneIndex.allCases {
        var range: PFNRange
        switch index {
        case .dma, .dma32, .normal:
          range = limits[index.rawValue].intersection(span)
          if movable > 0 { range = PFNRange(range.start, min(range.end, movable)) }
        case .movable:
          range =
            movable > 0 ? PFNRange(movable, min(span.end, limits[highest].end)) : PFNRange(0, 0)
        case .device:
          range = PFNRange(0, 0)
        }
        if range.isEmpty { range = PFNRange(0, 0) }
        zones.append(Extent(range: range, present: memory.pages(in: range)))
      }
    }
  }

  /// The first movable frame of each node, or 0 (rules A1.4 and A1.5).
  ///
  /// Kernel: `find_zone_movable_pfns_for_nodes()`, mm/mm_init.c.
  private static func movableStarts(
    _ nodes: [[PFNRange]], _ configuration: MachineConfiguration, base: Int
  ) -> [Int] {
    let block = configuration.geometry.maxBlockPages
    let total = nodes.reduce(0) { $0 + $1.reduce(0) { $0 + $1.count } }
    func pages(_ size: MachineConfiguration.MovableSize?) -> Int {
      switch size {
      case .pages(let pages): pages
      case .percent(let percent): total * 100 * percent / 10000
      case nil: 0
      }
    }
    var core = pages(configuration.kernelcore)
    let wanted = pages(configuration.movablecore)
    if wanted > 0 {
      let movable = min(total, (wanted + block - 1) / block * block)
      core = max(core, total - movable)
    }
    var starts = Array(repeating: 0, count: nodes.count)
    if core == 0 || core >= total { return starts }
    var usable = nodes.count
    repeat {
      var share = core / usable
      for (node, memory) in nodes.enumerated() {
        if core < share { share = core / usable }
        var rest = share
        for range in memory {
          var start = max(range.start, starts[node])
          if start >= range.end { continue }
          if start < base {
            let kernel = min(range.end, base) - start
            rest -= min(kernel, rest)
            core -= min(kernel, core)
            if range.end <= base {
              starts[node] = range.end
              continue
            }
            start = base
          }
          let take = min(range.end - start, rest)
          starts[node] = start + take
          core -= min(core, take)
          rest -= take
          if rest == 0 { break }
        }
      }
      usable -= 1
    } while usable > 0 && core > usable
    for (node, memory) in nodes.enumerated() {
      let rounded = (starts[node] + block - 1) / block * block
      starts[node] = rounded >= memory[memory.count - 1].end ? 0 : rounded
    }
    return starts
  }
}
