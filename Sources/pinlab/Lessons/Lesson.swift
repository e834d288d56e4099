import Console

/// A lesson as it stands in its file: an opening comment, and a chunk that returns a table of steps.
///
/// ```lua
/// -- L1 · a first look
/// -- What does a machine with nothing on it look like?
/// -- Rules: A1.1.
/// return {
///   setup = function() m = machine{ ram = "64M" } end,
///   {
///     text = "What there is to know, in paragraphs; or a function that returns it.",
///     ask = "What to do.",
///     check = function(value, source) return value == 3, "said then", "said otherwise" end,
///     hints = { "first", "second" },
///     answer = "1 + 2",
///     wrong = { "4" },
///   },
///   { ask = "How many?", expect = function() return 3 end, hints = { "count" }, wrong = { "4" } },
/// }
/// ```
struct Lesson {
  let path: String
  let opening: ScriptOpening
  let source: String

  var id: String { opening.id }
  var title: String { opening.title }

  /// Every lesson below a folder, in the order of the files' names.
  static func load(_ root: String) throws(FileFailure) -> [Lesson] {
    var found: [Lesson] = []
    for file in try ScriptFolder.names(in: root) where file.hasSuffix(".lua") {
      let path = "\(root)/\(file)"
      let source = String(decoding: try Files.read(path), as: UTF8.self)
      guard let opening = ScriptOpening(source) else {
        throw FileFailure(
          path: path, reason: "its first line is not `-- ID · title`, as of a lesson")
      }
      found.append(Lesson(path: path, opening: opening, source: source))
    }
    return found
  }

  /// The lesson that a person means: by its number, its id, or words of its title.
  static func named(_ name: String, in all: [Lesson]) -> Result<Lesson, LessonFailure> {
    if let number = Int(name), all.indices.contains(number - 1) { return .success(all[number - 1]) }
    let lower = name.lowercased()
    var found = all.filter { $0.id.lowercased() == lower }
    if found.isEmpty { found = all.filter { $0.title.lowercased().contains(lower) } }
    if found.count == 1 { return .success(found[0]) }
    return .failure(
      LessonFailure(
        found.isEmpty
          ? "there is no lesson '\(name)'; there are "
            + all.map { "\($0.id) \($0.title)" }.joined(separator: ", ")
          : "'\(name)' may be " + found.map(\.id).joined(separator: ", ")))
  }
}

/// Why there is no such lesson, or why it does not run.
struct LessonFailure: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}
