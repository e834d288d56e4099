import LuaBridge
import MemoryLua
import Testing

/// Every function of the API shows itself, and does what it shows.
@Suite struct ExampleTests {
  static let examples = MemoryLibrary.library(MemoryContext()).examples.map {
    [$0.name, $0.source]
  }

  @Test(arguments: examples) func holds(_ example: [String]) {
    let session = Session(writing: .anywhere)
    let problem = LuaExample.check(example[1], in: session.lua)
    #expect(problem == nil, "\(example[0])")
  }

  @Test func everyFunctionHasOne() {
    let library = MemoryLibrary.library(MemoryContext())
    let declared =
      library.functions.map(\.name)
      + library.types.flatMap { type in type.methods.map { "\(type.name):\($0.name)" } }
    let shown = library.examples.map(\.name)
    #expect(declared.sorted() == shown.sorted())
  }

  @Test func everythingIsDocumented() {
    let library = MemoryLibrary.library(MemoryContext())
    for function in library.functions + library.types.flatMap(\.methods) {
      #expect(function.abstract.hasSuffix("."), "\(function.name): \(function.abstract)")
    }
    for type in library.types {
      for property in type.properties {
        #expect(property.doc.hasSuffix("."), "\(type.name).\(property.name)")
      }
    }
  }

  /// A method of the same name would hide a field.
  @Test func namesDoNotClash() {
    for type in MemoryLibrary.library(MemoryContext()).types {
      let names = type.properties.map(\.name) + type.methods.map(\.name)
      #expect(Set(names).count == names.count, "\(type.name)")
    }
  }
}
