/// What must be known of a machine before its tables can be made: the sizes of all of them.
package struct MachineShape: Codable, Equatable, Sendable {
  package struct Table: Codable, Equatable, Sendable {
    package var name: String
    /// Bytes of an element: another size is another version's idea of what it holds.
    package var stride: Int
    package var count: Int
  }

  package var geometry: String
  package var nodeCount: Int
  package var cpuNodes: [Int]
  package var hasCMA: Bool
  package var distances: [[Int]]?
  package var frames: Int
  package var swapPages: Int
  package var tables: [Table]

  package init(_ machine: borrowing Machine) throws {
    geometry = machine.geometry.name
    nodeCount = machine.nodeCount
    cpuNodes = machine.cpuNodes
    hasCMA = machine.hasCMA
    distances = machine.distances
    frames = machine.frames.count
    swapPages = machine.swap.count
    var lister = Lister()
    try machine.readTables(&lister)
    tables = lister.tables
  }

  private struct Lister: TableReader {
    var tables: [Table] = []

    mutating func read<Element>(
      _ name: String, _ table: borrowing Arena<Element>, used: Int
    ) throws {
      tables.append(
        Table(name: name, stride: MemoryLayout<Element>.stride, count: table.count))
    }
  }
}

extension Machine {
  /// The largest machine, in frames: docs/model.md, "Numbers".
  private static let frameLimit = 1 << 31

  /// A machine of that shape with nothing in its tables, to be filled.
  ///
  /// - Throws: `.configuration` when there can be no such machine, or when this version's tables have
  ///   other elements.
  package static func empty(_ shape: MachineShape) throws -> Machine {
    let geometry = try geometry(shape)
    let machine = try Machine(
      geometry: geometry, kernel: .v6_12, nodeCount: shape.nodeCount, cpuNodes: shape.cpuNodes,
      hasCMA: shape.hasCMA, distances: shape.distances, memory: [], reserved: [],
      settings: Settings(), frameCount: shape.frames, swapPages: shape.swapPages)
    let own = try MachineShape(machine)
    guard own.tables.map(\.name) == shape.tables.map(\.name),
      zip(own.tables, shape.tables).allSatisfy({ $0.stride == $1.stride })
    else {
      throw MemoryError(.configuration, "written by a version of pinlab with other tables")
    }
    guard own.tables == shape.tables else { throw impossible("tables of other sizes") }
    return machine
  }

  static func impossible(_ what: String) -> MemoryError {
    MemoryError(.configuration, "impossible contents: \(what)")
  }

  private static func geometry(_ shape: MachineShape) throws -> Geometry {
    guard let geometry = Geometry.all.first(where: { $0.name == shape.geometry }) else {
      throw impossible("architecture '\(shape.geometry)'")
    }
    guard (1...32).contains(shape.nodeCount), (1...256).contains(shape.cpuNodes.count) else {
      throw impossible("\(shape.nodeCount) nodes and \(shape.cpuNodes.count) CPUs")
    }
    guard shape.cpuNodes.allSatisfy({ (0..<shape.nodeCount).contains($0) }) else {
      throw impossible("a CPU of no node")
    }
    guard (1...frameLimit).contains(shape.frames), shape.frames % geometry.maxBlockPages == 0 else {
      throw impossible("\(shape.frames) frames")
    }
    guard (0..<1 << 31).contains(shape.swapPages),
      shape.swapPages == 0 || shape.frames < 1 << 31
    else { throw impossible("\(shape.swapPages) pages of swap space") }
    if let distances = shape.distances {
      guard distances.count == shape.nodeCount,
        distances.allSatisfy({
          $0.count == shape.nodeCount && $0.allSatisfy { (1...255).contains($0) }
        })
      else { throw impossible("distances of nodes") }
    }
    return geometry
  }
}
