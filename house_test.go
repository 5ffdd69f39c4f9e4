package shoal_test

import (
	"go/ast"
	"go/parser"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// TestPackageComments asks every package to say what it is.
func TestPackageComments(t *testing.T) {
	doc := map[string]int{}
	for name, file := range goFiles(t, parser.ParseComments|parser.PackageClauseOnly) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		pkg := packageOf(name)
		if _, ok := doc[pkg]; !ok {
			doc[pkg] = 0
		}
		if file.Doc != nil {
			doc[pkg]++
		}
	}
	for pkg, n := range doc {
		switch {
		case n == 0:
			t.Errorf("%s: no package comment: say in one what it is and what it never does", nameOf(pkg))
		case n > 1:
			t.Errorf("%s: %d files carry a package comment: one place is enough", nameOf(pkg), n)
		}
	}
}

// TestNames refuses the names that say nothing: what lies in such a drawer
// belongs beside its user.
func TestNames(t *testing.T) {
	empty := []string{"util", "utils", "common", "manager", "helper", "helpers", "misc", "base", "lib", "types"}
	for name := range goFiles(t, parser.PackageClauseOnly) {
		for _, part := range strings.Split(packageOf(name), "/") {
			if slices.Contains(empty, part) {
				t.Errorf("%s: no package is called %s", name, part)
			}
		}
	}
}

// TestHabits holds the rules about functions and types that a reader would
// otherwise have to check by eye. Elegance lives in the tail, so the tail is
// what has a limit.
func TestHabits(t *testing.T) {
	const fileLines, funcLines, structFields, interfaceMethods = 400, 60, 20, 5
	for name, file := range goFiles(t, parser.SkipObjectResolution|parser.ParseComments) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		lines := lineCounter(t, name)
		if n := lines(int(file.FileEnd)-int(file.FileStart)) + 1; n > fileLines {
			t.Errorf("%s: %d lines, the limit is %d: which part has its own name?", name, n, fileLines)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Name.Name == "init" && n.Recv == nil {
					t.Errorf("%s: func init: build values where they are used", name)
				}
				start := lines(int(n.Pos() - file.FileStart))
				if got := lines(int(n.End()-file.FileStart)) - start + 1; got > funcLines {
					t.Errorf("%s: %s has %d lines, the limit is %d: a name is missing", name, n.Name.Name, got, funcLines)
				}
			case *ast.TypeSpec:
				switch typ := n.Type.(type) {
				case *ast.StructType:
					if got := typ.Fields.NumFields(); got > structFields {
						t.Errorf("%s: struct %s has %d fields, the limit is %d", name, n.Name.Name, got, structFields)
					}
				case *ast.InterfaceType:
					if got := typ.Methods.NumFields(); got > interfaceMethods {
						t.Errorf("%s: interface %s has %d methods, the limit is %d", name, n.Name.Name, got, interfaceMethods)
					}
				}
			}
			return true
		})
	}
}

// lineCounter gives the number of line ends before an offset in a file.
func lineCounter(t *testing.T, name string) func(offset int) int {
	t.Helper()
	text, err := os.ReadFile(path.Clean(name))
	if err != nil {
		t.Fatal(err)
	}
	return func(offset int) int {
		return strings.Count(string(text[:min(offset, len(text))]), "\n")
	}
}
