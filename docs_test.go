package shoal_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDependenciesDocumented holds docs/dependencies.md to go.mod: who adds a
// library says why.
func TestDependenciesDocumented(t *testing.T) {
	mod := read(t, "go.mod")
	var want []string
	for _, line := range strings.Split(mod, "\n") {
		fields := strings.Fields(line)
		if len(fields) >= 2 && strings.HasPrefix(line, "\t") && !strings.HasSuffix(line, "// indirect") {
			want = append(want, fields[0])
		}
	}
	if tool := regexp.MustCompile(`(?m)^tool (\S+)/cmd/`).FindStringSubmatch(mod); tool != nil {
		want = append(want, tool[1])
	}
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^\| (\S+\.\S+/\S+) \| .{10,} \|$`).FindAllStringSubmatch(read(t, "docs/dependencies.md"), -1) {
		got = append(got, m[1])
	}
	slices.Sort(want)
	slices.Sort(got)
	if len(want) < 3 || !slices.Equal(want, got) {
		t.Errorf("docs/dependencies.md and go.mod differ:\n documented %q\n go.mod     %q", got, want)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestReadmeLinksDocs: who reads the README finds every page.
func TestReadmeLinksDocs(t *testing.T) {
	readme := read(t, "README.md")
	pages, err := os.ReadDir("docs")
	if err != nil || len(pages) < 10 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, page := range pages {
		if !strings.Contains(readme, "](docs/"+page.Name()) {
			t.Errorf("README.md does not link docs/%s", page.Name())
		}
	}
}
