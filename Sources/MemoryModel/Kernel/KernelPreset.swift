// Invariant: a preset gives every switch a value; it is written as what changed since the one before
// it. Kernels of 5.8 and older have 5.9's allocator but for what is said, see docs/model.md.

/// A kernel that has a name, with where it comes from (rule P0.7).
public struct KernelPreset: Sendable {
  public let kernel: Kernel
  public let year: Int
  /// The release that first did so; nil for a patch that was never merged.
  public let firstRelease: String?
  /// Abbreviated ids of the commits that made the difference.
  public let commits: [String]
  /// What is special about it, in one line.
  public let special: String
  /// The threads that argue about it: 000 to 004.
  public let threads: [String]

  public var name: String { kernel.name }

  public static func named(_ name: some StringProtocol) -> KernelPreset? {
    all.first { $0.name == name } ?? all.first { $0.kernel.release == name }
  }

  /// What to say about a name that is no preset's: the release before it, if it is a version, and all names.
  public static func unknown(_ name: String) -> String {
    func version(_ text: String?) -> [Int]? {
      guard let parts = text?.split(separator: ".").map({ Int($0) }), !parts.isEmpty,
        !parts.contains(nil)
      else { return nil }
      return parts.compactMap { $0 }
    }
    var text = "there is no kernel \"\(name)\""
    if let wanted = version(name) {
      let before = all.compactMap { preset in version(preset.firstRelease).map { ($0, preset.name) }
      }
      .filter { $0.0.lexicographicallyPrecedes(wanted) }
      .max { $0.0.lexicographicallyPrecedes($1.0) }
      text += before.map { "; the one before it is \($0.1)" } ?? "; the oldest is \(all[0].name)"
    }
    return text + "; known are " + all.map(\.name).joined(separator: ", ")
  }

  /// The kernel of a preset that exists.
  static func kernel(_ name: String) -> Kernel {
    guard let preset = all.first(where: { $0.name == name }) else {
      preconditionFailure("there is no preset \(name)")
    }
    return preset.kernel
  }

  /// Every preset, oldest first.
  public static let all: [KernelPreset] = build()

  private static func build() -> [KernelPreset] {
    var presets = Presets()
    presets.addBeforeLongTerm()
    presets.addFirstChecks()
    presets.addSeries2020()
    presets.addHighOrderLists()
    presets.addPinnable()
    presets.addRecent()
    return presets.list
  }
}

/// The list of presets while it is made: each begins as a copy of an earlier one.
struct Presets {
  private(set) var list: [KernelPreset] = []

  mutating func add(
    _ name: String, from base: String?, release: String? = nil, _ year: Int,
    first: String?, _ commits: [String] = [], threads: [String] = [], _ special: String,
    _ change: (inout Kernel) -> Void
  ) {
    var kernel = list.first { $0.name == base }?.kernel ?? .v6_12
    precondition(base == nil || list.contains { $0.name == base }, "no preset \(base ?? "")")
    kernel.name = name
    kernel.release = release ?? name
    change(&kernel)
    list.append(
      KernelPreset(
        kernel: kernel, year: year, firstRelease: first, commits: commits, special: special,
        threads: threads))
  }
}
