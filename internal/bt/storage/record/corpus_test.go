package record

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

var corpus = flag.Bool("corpus", false, "write the seed corpus of the fuzz targets to testdata")

// TestCorpus holds that the committed seed corpus is of the current format: a
// seed that is refused at its first byte teaches the fuzzer nothing.
func TestCorpus(t *testing.T) {
	dir := filepath.Join("testdata", "fuzz", "FuzzParse")
	for name, b := range map[string][]byte{
		"running": encode(sample(false), Entry{Have, 1, 2}, WroteBlocks(4, 0, 5), DurableUpTo(1), Entry{Own, 0, 11}, Entry{Lost, 1, 1}),
		"closed":  encode(sample(true), WroteBlocks(20, 1, 1), Entry{Stamp, 0, 0}),
		"torn":    append(encode(sample(false), Entry{Disown, 10, 1}), "half an entry"...),
		"empty":   encode(NewState(shape)),
	} {
		text := fmt.Sprintf("go test fuzz v1\n[]byte(%q)\n", b)
		if *corpus {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != text {
			t.Errorf("%s: the corpus is not of this format (go test -corpus writes it anew), %v", name, err)
		}
		if _, _, err := shape.Parse(b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
