import Console

/// How far the user of this computer has come in each lesson: a file of lines `ID STEP`, or `ID done`.
///
/// Progress is a comfort: a file that cannot be read or written stops no lesson.
struct LessonProgress {
  enum Place: Equatable {
    /// The step to do next, from 1.
    case at(Int)
    case done
  }

  private let path: String?
  private var places: [String: Place] = [:]

  /// Beside the history of the prompt.
  static func defaultPath() -> String? {
    History.defaultPath(application: "pinlab").map { $0.dropLast("history".count) + "lessons" }
  }

  init(path: String?) {
    self.path = path
    guard let path, let bytes = try? Files.read(path) else { return }
    for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
      let words = line.split(separator: " ")
      guard words.count == 2 else { continue }
      if words[1] == "done" {
        places[String(words[0])] = .done
      } else if let step = Int(words[1]), step > 0 {
        places[String(words[0])] = .at(step)
      }
    }
  }

  subscript(lesson: Lesson) -> Place {
    get { places[lesson.id] ?? .at(1) }
    set {
      places[lesson.id] = newValue
      guard let path else { return }
      let text = places.sorted { $0.key < $1.key }.map { id, place in
        switch place {
        case .at(let step): "\(id) \(step)\n"
        case .done: "\(id) done\n"
        }
      }.joined()
      do throws(FileFailure) {
        try createFolders(above: path)
        try replaceFile(at: path, with: Array(text.utf8), mode: 0o600)
      } catch {
        // The lesson goes on; it begins anew the next time.
      }
    }
  }
}
