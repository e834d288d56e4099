#if canImport(Glibc)
  internal import Glibc
#else
  internal import Musl
#endif

/// The seeds and the length of random runs, which the environment can change.
///
/// A failing run prints its seed and step. `PINLAB_SEED=7 swift test --filter Random` repeats it,
/// `PINLAB_STEPS=100000` makes every run that long.
public enum Seeds {
  /// The seeds to run: the given ones, or the one that `PINLAB_SEED` names.
  public static func list(_ seeds: ClosedRange<UInt64>) -> [UInt64] {
    number("PINLAB_SEED").map { [UInt64(truncatingIfNeeded: $0)] } ?? Array(seeds)
  }

  /// The number of steps a run takes: the given one, or `PINLAB_STEPS`.
  public static func steps(_ steps: Int) -> Int { number("PINLAB_STEPS") ?? steps }

  private static func number(_ name: String) -> Int? {
    guard let text = unsafe getenv(name) else { return nil }
    return Int(unsafe String(cString: text))
  }
}
