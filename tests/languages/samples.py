"""One small program a language: code with comments, and what it is without them."""

from __future__ import annotations

from typing import NamedTuple


class Sample(NamedTuple):
    """A program, the same without comments, and the names of its units in order."""

    code: str
    bare: str
    units: tuple[str, ...]


SAMPLES = {
    "python": Sample(
        'import os  # why\n\n\n@cached\nasync def tide(x):\n    """Doc."""\n    # inside\n'
        "    s = '# not one'\n    return s  # end\n\n\nclass Gauge:\n    'Only words.'\n",
        "import os\n\n\n@cached\nasync def tide(x):\n    s = '# not one'\n    return s\n\n\n"
        "class Gauge:\n    pass\n",
        ("tide", "Gauge"),
    ),
    "javascript": Sample(
        "#!/usr/bin/env node\nimport a from 'b'; // why\n/** Doc. */\nexport function tide("
        "x /* m */, y) {\n  return `// ${x}` /* end */;\n}\nexport const low = (x) => x;\n"
        "class Gauge {\n  // a\n  // b\n  read(u) { return /[/*]/.test(u); }\n}\n",
        "#!/usr/bin/env node\nimport a from 'b';\nexport function tide(x, y) {\n"
        "  return `// ${x}`;\n}\nexport const low = (x) => x;\nclass Gauge {\n"
        "  read(u) { return /[/*]/.test(u); }\n}\n",
        ("tide", "low", "Gauge", "Gauge.read"),
    ),
    "typescript": Sample(
        "interface Tide { at: number } // t\nexport class Gauge<T> implements Tide {\n"
        "  at = 1;\n  /* r */\n  private read(u: T): string { return '/*'; }\n}\n",
        "interface Tide { at: number }\nexport class Gauge<T> implements Tide {\n"
        "  at = 1;\n  private read(u: T): string { return '/*'; }\n}\n",
        ("Tide", "Gauge", "Gauge.read"),
    ),
    "java": Sample(
        "package sea;\nimport java.util.*;\n\n/** Doc. */\npublic class Gauge {\n  // one\n"
        '  @Override\n  public String read(int u) { return "//" + u; /* end */ }\n'
        "  int read(double u) { return 2; }\n  private Gauge() { }\n}\n",
        "package sea;\nimport java.util.*;\n\npublic class Gauge {\n  @Override\n"
        '  public String read(int u) { return "//" + u; }\n'
        "  int read(double u) { return 2; }\n  private Gauge() { }\n}\n",
        ("Gauge", "Gauge.read", "Gauge.read#2", "Gauge.Gauge"),
    ),
    "go": Sample(
        'package sea\n\nimport "fmt"\n\n//go:embed tide.txt\nvar t string\n\n// Gauge is.\n'
        "type Gauge struct {\n\tat int // field\n}\n\n/* Read\nreads. */\n"
        "func (g *Gauge) Read() string { return `// ` }\n\nfunc Low[T any](x T) T { return x }\n",
        'package sea\n\nimport "fmt"\n\n//go:embed tide.txt\nvar t string\n\n'
        "type Gauge struct {\n\tat int\n}\n\n"
        "func (g *Gauge) Read() string { return `// ` }\n\nfunc Low[T any](x T) T { return x }\n",
        ("Gauge", "Gauge.Read", "Low"),
    ),
    "c": Sample(
        "#include <stdio.h>\n/* Doc. */\nstatic int *tide(void) { return 0; } // t\n"
        "struct gauge { int at; };\nchar q = '\"'; // q\nint/*x*/y;\n",
        "#include <stdio.h>\nstatic int *tide(void) { return 0; }\n"
        "struct gauge { int at; };\nchar q = '\"';\nint y;\n",
        ("tide", "gauge"),
    ),
    "cpp": Sample(
        "namespace sea {\nclass Gauge : public Base {\n public:\n  // r\n"
        "  virtual int read() const override { return 1; }\n};\ntemplate <class T>\n"
        'T low(T x) { auto s = R"(// no)"; return x; } // end\nint Gauge::at() { return 1; }\n}\n',
        "namespace sea {\nclass Gauge : public Base {\n public:\n"
        "  virtual int read() const override { return 1; }\n};\ntemplate <class T>\n"
        'T low(T x) { auto s = R"(// no)"; return x; }\nint Gauge::at() { return 1; }\n}\n',
        ("sea.Gauge", "sea.Gauge.read", "sea.low", "sea.Gauge::at"),
    ),
    "rust": Sample(
        "use std::fmt;\n/// Doc é.\n#[derive(Debug)]\npub struct Gauge { at: u8 }\n"
        "impl fmt::Display for Gauge {\n    // c\n    fn fmt(&self) -> u8 { 1 }\n}\n"
        'fn low() -> &\'static str { r#"// no"# } /* a /* nested */ b */\n',
        "use std::fmt;\n#[derive(Debug)]\npub struct Gauge { at: u8 }\n"
        "impl fmt::Display for Gauge {\n    fn fmt(&self) -> u8 { 1 }\n}\n"
        'fn low() -> &\'static str { r#"// no"# }\n',
        ("Gauge", "Gauge:fmt::Display", "Gauge:fmt::Display.fmt", "low"),
    ),
    "ruby": Sample(
        "require 'set'\nmodule Sea\n  # Doc.\n  class Gauge < Base\n    def read(x)\n"
        '      "# #{x}" # end\n    end\n    def self.low; end\n  end\nend\n=begin\nfoo\n=end\n',
        "require 'set'\nmodule Sea\n  class Gauge < Base\n    def read(x)\n"
        '      "# #{x}"\n    end\n    def self.low; end\n  end\nend\n',
        ("Sea.Gauge", "Sea.Gauge.read", "Sea.Gauge.low"),
    ),
    "php": Sample(
        "<?php\nuse A\\B;\n/** Doc. */\nclass Gauge extends Base {\n"
        "  public function read() { return '// no'; } # h\n}\nfunction low() {} // l\n",
        "<?php\nuse A\\B;\nclass Gauge extends Base {\n"
        "  public function read() { return '// no'; }\n}\nfunction low() {}\n",
        ("Gauge", "Gauge.read", "low"),
    ),
    "csharp": Sample(
        "using System;\nnamespace Sea {\n  /// <summary>Doc.</summary>\n  public class Gauge {\n"
        '    [Test]\n    public string Read() { return @"// no"; } // r\n  }\n}\n',
        "using System;\nnamespace Sea {\n  public class Gauge {\n"
        '    [Test]\n    public string Read() { return @"// no"; }\n  }\n}\n',
        ("Sea.Gauge", "Sea.Gauge.Read"),
    ),
    "kotlin": Sample(
        "package sea\nimport b.c\n\nclass Gauge(val x: Int) {\n    // c\n"
        '    fun read(y: Int): String { return "// $y" } /* r */\n}\nfun low() = 1\n',
        "package sea\nimport b.c\n\nclass Gauge(val x: Int) {\n"
        '    fun read(y: Int): String { return "// $y" }\n}\nfun low() = 1\n',
        ("Gauge", "Gauge.read", "low"),
    ),
    "shell": Sample(
        '#!/bin/bash\n# c\ntide() {\n  echo "# ${x#a}" # t\n}\nfunction low { echo $#; }\ntide\n',
        '#!/bin/bash\ntide() {\n  echo "# ${x#a}"\n}\nfunction low { echo $#; }\ntide\n',
        ("tide", "low"),
    ),
}
