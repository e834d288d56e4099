// The words in which a console and its language speak to each other.

/// What became of an input.
public enum Evaluation: Sendable {
  /// It ran. `output` is what to show for it, nil for nothing.
  case done(output: String?)
  /// It is the beginning of a statement: the console asks for more and evaluates all of it again.
  /// Nothing has run.
  case incomplete
  /// It did not run, or not to its end. The text says why and is shown as an error.
  case failure(String)
  /// It ran, and asks to leave the prompt.
  case leave
}

/// How the text at the cursor may go on.
public struct Completions: Sendable {
  /// Where the part to be completed begins: a byte offset into the line.
  public var start: Int

  /// The texts that may stand from `start` on.
  ///
  /// The console ignores those that do not begin with what is there already.
  public var candidates: [String]

  /// Whether the part is the name of a file; the console then finds the candidates itself.
  public var isFileName: Bool

  /// What to add after the only candidate, nil for nothing.
  ///
  /// Not added after a candidate that ends in one of `( . : " ' { [ =`, which ask for more.
  public var suffix: Unicode.Scalar?

  public init(
    start: Int, candidates: [String] = [], isFileName: Bool = false, suffix: Unicode.Scalar? = " "
  ) {
    self.start = start
    self.candidates = candidates
    self.isFileName = isFileName
    self.suffix = suffix
  }

  public static let none = Completions(start: 0)
}
