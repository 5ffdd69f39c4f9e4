package metainfo

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// single1, multi1, single2, multi2 and hybrid are acceptable info dictionaries,
// from which the tables below go wrong by one key each.
var (
	root32  = strings.Repeat("r", 32)
	single1 = dict{"name": "n", "piece length": 16384, "length": 20000, "pieces": hashes20(2)}
	multi1  = dict{"name": "n", "piece length": 16384, "pieces": hashes20(1), "files": list{
		dict{"length": 5, "path": list{"a"}}, dict{"length": 6, "path": list{"d", "b"}},
	}}
	tree2 = dict{
		"a": dict{"": dict{"length": 5, "pieces root": root32}},
		"d": dict{"b": dict{"": dict{"length": 6, "pieces root": root32}}},
	}
	multi2  = dict{"name": "n", "piece length": 16384, "meta version": 2, "file tree": tree2}
	single2 = with(multi2, dict{"file tree": dict{"n": tree2["a"]}})
	hybrid  = with(multi2, dict{"pieces": hashes20(2), "files": list{
		dict{"length": 5, "path": list{"a"}},
		dict{"length": 16379, "path": list{".pad", "16379"}, "attr": "p"},
		dict{"length": 6, "path": list{"d", "b"}},
	}})
	hybridSingle = with(single2, dict{"length": 5, "pieces": hashes20(1)})
)

func file1(keys dict) dict {
	return with(multi1, dict{"files": list{dict{"length": 5, "path": list{"a"}}, with(dict{"length": 6, "path": list{"b"}}, keys)}})
}

func tree(entries dict) dict { return with(multi2, dict{"file tree": entries}) }

func leaf(keys dict) dict {
	return tree(dict{"a": dict{"": with(dict{"length": 5, "pieces root": root32}, keys)}, "z": tree2["a"]})
}

func posix(v any) dict { return with(multi1, dict{"posix": v}) }

func TestParseInfoAccepts(t *testing.T) {
	for name, c := range map[string]struct {
		in    dict
		files string
	}{
		"v1 single":         {single1, "[] 20000@0"},
		"v1 multi":          {multi1, "[a] 5@0 [d b] 6@5"},
		"v2 single":         {single2, "[] 5@0"},
		"v2 other name":     {with(single2, dict{"name": "x"}), "[] 5@0"},
		"v2 multi":          {multi2, "[a] 5@0 [d b] 6@16384"},
		"hybrid":            {hybrid, "[a] 5@0 [d b] 6@16384"},
		"hybrid single":     {hybridSingle, "[] 5@0"},
		"odd piece length":  {with(single1, dict{"piece length": 12345}), "[] 20000@0"},
		"huge piece length": {with(single1, dict{"piece length": MaxPieceLength, "pieces": hashes20(1)}), "[] 20000@0"},
		"path of a pad":     {file1(dict{"path": list{".pad", "6"}}), "[a] 5@0 [.pad 6] 6@5"},
		"pad without path":  {file1(dict{"path": nil, "attr": "p"}), "[a] 5@0"},
		"no pad":            {file1(dict{"path": list{".pad", "6x"}}), "[a] 5@0 [.pad 6x] 6@5"},
		"link without length": {
			file1(dict{"length": nil, "attr": "l", "symlink path": list{"a"}}), "[a] 5@0 [b] 0@5",
		},
		"link with length": {file1(dict{"attr": "lx", "symlink path": list{"a"}}), "[a] 5@0 [b] 0@5"},
		"link to the root": {file1(dict{"attr": "l", "symlink path": list{}}), "[a] 5@0 [b] 0@5"},
		"v2 empty file":    {tree(dict{"e": dict{"": dict{"length": 0}}, "f": tree2["a"]}), "[e] 0@0 [f] 5@0"},
		"v2 link": {
			tree(dict{"e": dict{"": dict{"attr": "l", "symlink path": list{"f"}}}, "f": tree2["a"]}), "[e] 0@0 [f] 5@0",
		},
		"unknown keys": {with(multi1, dict{"x": list{1, "y"}, "files": list{dict{"length": 5, "path": list{"a"}, "md5sum": "?"}}}), "[a] 5@0"},
		"private":      {with(multi1, dict{"private": "yes", "source": 5}), "[a] 5@0 [d b] 6@5"},
		"tail padding": {with(hybrid, dict{"files": append(hybrid["files"].(list)[:3:3], dict{"length": 16378, "attr": "p"})}), "[a] 5@0 [d b] 6@16384"},
		"meta version": {with(multi1, dict{"meta version": 1}), "[a] 5@0 [d b] 6@5"},
	} {
		info, err := ParseInfo(encode(t, c.in))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, f := range info.Files {
			got = append(got, fmt.Sprintf("%v %d@%d", f.Path, f.Length, f.Offset))
		}
		if s := strings.Join(got, " "); s != c.files {
			t.Errorf("%s: %s, want %s", name, s, c.files)
		}
	}
}

func TestParseInfoRefusesHeader(t *testing.T) {
	for name, c := range map[string]struct {
		in          dict
		key, reason string
	}{
		"no name":          {with(single1, dict{"name": nil}), "info.name", "missing"},
		"name kind":        {with(single1, dict{"name": 5}), "info.name", "it is an integer"},
		"name empty":       {with(single1, dict{"name": ""}), "info.name", "empty"},
		"name climbs":      {with(single1, dict{"name": ".."}), "info.name", "leave the tree"},
		"name path":        {with(single1, dict{"name": "a/b"}), "info.name", "slash"},
		"name NUL":         {with(single1, dict{"name": "a\x00"}), "info.name", "NUL"},
		"name long":        {with(single1, dict{"name": strings.Repeat("x", 256)}), "info.name", "longer than 255"},
		"no piece length":  {with(single1, dict{"piece length": nil}), "info.piece length", "missing"},
		"zero pieces":      {with(single1, dict{"piece length": 0}), "info.piece length", "no length"},
		"negative pieces":  {with(single1, dict{"piece length": -16384}), "info.piece length", "no length"},
		"huge pieces":      {with(single1, dict{"piece length": MaxPieceLength + 1}), "info.piece length", "limit"},
		"v2 odd pieces":    {with(multi2, dict{"piece length": 48 << 10}), "info.piece length", "power of two"},
		"v2 small pieces":  {with(multi2, dict{"piece length": 8192}), "info.piece length", "at least 16384"},
		"no pieces":        {with(single1, dict{"pieces": nil}), "info.pieces", "missing"},
		"pieces kind":      {with(single1, dict{"pieces": 3}), "info.pieces", "want a string"},
		"pieces short":     {with(single1, dict{"pieces": hashes20(1)}), "info.pieces", "20 bytes, want 20 for each of 2"},
		"pieces ragged":    {with(single1, dict{"pieces": hashes20(2) + "x"}), "info.pieces", "41 bytes"},
		"no content":       {with(single1, dict{"length": 0, "pieces": ""}), "info", "no content"},
		"no files":         {with(multi1, dict{"files": list{}, "pieces": ""}), "info", "no content"},
		"neither":          {with(single1, dict{"length": nil}), "info.files", "missing"},
		"both":             {with(multi1, dict{"length": 5}), "info.length", "beside info.files"},
		"length kind":      {with(single1, dict{"length": "x"}), "info.length", "want an integer"},
		"length negative":  {with(single1, dict{"length": -1}), "info.length", "-1 bytes"},
		"length overflows": {with(single1, dict{"length": int64(1) << 62}), "info.length", "passes the limit"},
		"too many pieces":  {with(multi2, dict{"file tree": dict{"a": dict{"": dict{"length": int64(1) << 50, "pieces root": root32}}}}), "info", "pieces are more than the limit"},
		"newer version":    {with(multi2, dict{"meta version": 3, "name": nil}), "info.meta version", "version 3"},
		"version kind":     {with(multi2, dict{"meta version": "2"}), "info.meta version", "want an integer"},
		"no tree":          {with(multi1, dict{"meta version": 2}), "info.file tree", "missing"},
		"no version":       {with(multi2, dict{"meta version": nil}), "info.meta version", "missing"},
		"tree kind":        {with(multi2, dict{"file tree": list{}}), "info.file tree", "it is a list"},
		"only file a link": {with(single1, dict{"attr": "l"}), "info.attr", "symbolic link"},
	} {
		_, err := ParseInfo(encode(t, c.in))
		wantKeyError(t, name, err, c.key, c.reason)
	}
}

func TestParseInfoRefusesFiles(t *testing.T) {
	long := list{}
	for range MaxDepth + 1 {
		long = append(long, "d")
	}
	for name, c := range map[string]struct {
		in          dict
		key, reason string
	}{
		"files kind":      {with(multi1, dict{"files": dict{}}), "info.files", "want a list"},
		"file kind":       {with(multi1, dict{"files": list{"x"}}), "info.files[0]", "want a dictionary"},
		"no length":       {file1(dict{"length": nil}), "info.files[1].length", "missing"},
		"negative length": {file1(dict{"length": -6}), "info.files[1].length", "-6 bytes"},
		"sum overflows":   {file1(dict{"length": int64(math.MaxInt64)}), "info.files[1].length", "limit"},
		"no path":         {file1(dict{"path": nil}), "info.files[1].path", "missing"},
		"path kind":       {file1(dict{"path": "b"}), "info.files[1].path", "want a list"},
		"path empty":      {file1(dict{"path": list{}}), "info.files[1].path", "empty"},
		"element kind":    {file1(dict{"path": list{"b", 5}}), "info.files[1].path", "element 1 is an integer"},
		"element empty":   {file1(dict{"path": list{"b", ""}}), "info.files[1].path", "empty path element"},
		"climbs":          {file1(dict{"path": list{"..", "b"}}), "info.files[1].path", `".." could leave`},
		"stays":           {file1(dict{"path": list{".", "b"}}), "info.files[1].path", `"." could leave`},
		"absolute":        {file1(dict{"path": list{"/etc", "b"}}), "info.files[1].path", "slash"},
		"slash":           {file1(dict{"path": list{"x/../../b"}}), "info.files[1].path", "slash"},
		"NUL":             {file1(dict{"path": list{"b\x00c"}}), "info.files[1].path", "NUL"},
		"deep":            {file1(dict{"path": long}), "info.files[1].path", "more than the limit of 200"},
		"long":            {file1(dict{"path": slices.Repeat(list{strings.Repeat("x", 250)}, 17)}), "info.files[1].path", "4266 bytes"},
		"twice":           {file1(dict{"path": list{"a"}}), "info", `"a" stands there twice`},
		"in a file":       {file1(dict{"path": list{"a", "b"}}), "info", `"a/b" lies inside of "a"`},
		"in a link": {with(multi1, dict{"files": list{
			dict{"path": list{"l"}, "attr": "l", "symlink path": list{"d"}}, dict{"length": 5, "path": list{"l", "b"}},
		}}), "info", "not a folder"},
		"link nowhere":   {file1(dict{"attr": "l"}), "info.files[1].symlink path", "missing"},
		"link slash":     {file1(dict{"attr": "l", "symlink path": list{"a/b"}}), "info.files[1].symlink path", "slash"},
		"link outside":   {file1(dict{"attr": "l", "symlink path": list{"..", "x"}}), "info", `"b" leads to "../x", out of the tree`},
		"v2 not sorted":  {with(multi2, dict{"file tree": rawTree("1:b", "1:a")}), "info.file tree", "not sorted"},
		"v2 leaf kind":   {tree(dict{"a": dict{"": 5}, "z": tree2["a"]}), "info.file tree.a", "want a dictionary"},
		"v2 entry kind":  {tree(dict{"a": 5, "z": tree2["a"]}), "info.file tree.a", "want a dictionary"},
		"v2 both":        {tree(dict{"a": dict{"": tree2["a"].(dict)[""], "b": tree2["a"]}}), "info.file tree.a", "a file and a folder"},
		"v2 root file":   {tree(dict{"": dict{"length": 5, "pieces root": root32}}), "info.file tree", "a file and a folder"},
		"v2 no length":   {leaf(dict{"length": nil}), "info.file tree.a.length", "missing"},
		"v2 negative":    {leaf(dict{"length": -5}), "info.file tree.a.length", "-5 bytes"},
		"v2 overflow":    {leaf(dict{"length": int64(math.MaxInt64)}), "info.file tree.a.length", "limit"},
		"v2 no root":     {leaf(dict{"pieces root": nil}), "info.file tree.a.pieces root", "missing"},
		"v2 short root":  {leaf(dict{"pieces root": "x"}), "info.file tree.a.pieces root", "no SHA-256"},
		"v2 zero root":   {leaf(dict{"pieces root": strings.Repeat("\x00", 32)}), "info.file tree.a.pieces root", "no SHA-256"},
		"v2 padding":     {leaf(dict{"attr": "p"}), "info.file tree.a.attr", "padding"},
		"v2 link":        {leaf(dict{"attr": "l"}), "info.file tree.a.symlink path", "missing"},
		"v2 climbs":      {tree(dict{"..": tree2["d"]}), "info.file tree", "could leave"},
		"v2 slash":       {tree(dict{"a/b": tree2["d"]}), "info.file tree", "slash"},
		"v2 single name": {with(single2, dict{"file tree": dict{"a/b": tree2["a"]}}), "info.file tree", "slash"},
		"v2 long": {tree(nested(17, strings.Repeat("x", 250))), "info.file tree" + strings.Repeat("."+fmt.Sprintf("%q", strings.Repeat("x", 48)), 16),
			"longer than the limit"},
		"v2 deep": {tree(nested(MaxDepth+1, "d")), "info.file tree" + strings.Repeat(".d", MaxDepth), "more than 200 deep"},
	} {
		_, err := ParseInfo(encode(t, c.in))
		wantKeyError(t, name, err, c.key, c.reason)
	}
}

// rawTree is a file tree with keys in the order given.
func rawTree(keys ...string) any {
	raw := "d"
	for _, key := range keys {
		raw += key + "d0:d6:lengthi5e11:pieces root32:" + root32 + "ee"
	}
	return rawValue(raw + "e")
}

func nested(n int, name string) dict {
	d := dict{name: tree2["a"]}
	for range n - 1 {
		d = dict{name: d}
	}
	return d
}

func TestParseInfoRefusesHybridsThatDisagree(t *testing.T) {
	files := func(change func(files list)) dict {
		fresh := list{}
		for _, f := range hybrid["files"].(list) {
			fresh = append(fresh, with(f.(dict), nil))
		}
		change(fresh)
		return with(hybrid, dict{"files": fresh})
	}
	for name, c := range map[string]struct {
		in     dict
		reason string
	}{
		"name":    {files(func(f list) { f[0].(dict)["path"] = list{"A"} }), `file 0 is "A", but "a"`},
		"length":  {files(func(f list) { f[2].(dict)["length"] = 7 }), `"d/b" is 7 bytes long, but 6`},
		"padding": {files(func(f list) { f[1].(dict)["length"] = 16378 }), `"d/b" is at byte 16383, but 16384`},
		"link": {files(func(f list) {
			f[0].(dict)["attr"], f[0].(dict)["symlink path"], f[0].(dict)["length"] = "l", list{"d"}, 0
		}), `"a" is 0 bytes long`},
		"more":      {with(hybrid, dict{"files": append(hybrid["files"].(list)[:3:3], dict{"length": 0, "path": list{"z"}})}), "3 files, but 2"},
		"fewer":     {with(hybrid, dict{"files": hybrid["files"].(list)[:1]}), "1 files, but 2"},
		"long tail": {with(hybrid, dict{"files": append(hybrid["files"].(list)[:3:3], dict{"length": 16379, "attr": "p"})}), "ends at byte"},
	} {
		_, err := ParseInfo(encode(t, c.in))
		wantKeyError(t, name, err, "info.files", c.reason)
	}
	_, err := ParseInfo(encode(t, with(hybridSingle, dict{"name": "m"})))
	wantKeyError(t, "single name", err, "info.file tree", `"n" here and "m" in info.name`)
	_, err = ParseInfo(encode(t, with(hybridSingle, dict{"file tree": tree2})))
	wantKeyError(t, "single tree", err, "info.file tree", "not just one file")
}

func TestPosix(t *testing.T) {
	links := with(multi1, dict{"files": list{
		dict{"length": 5, "path": list{"a"}}, dict{"path": list{"l"}, "attr": "l", "symlink path": list{"a"}},
		dict{"path": list{"m"}, "attr": "l", "symlink path": list{"d"}}, dict{"length": 6, "path": list{"d", "b"}},
	}, "posix": dict{
		"modes": "\x01\xed\xff\xff\xff\xff\x09\xed", "links": list{"./a", ""}, "unknown": 5,
		"dirs": list{dict{"path": list{}, "mode": 0o700}, dict{"path": list{"e"}, "x": 1}},
	}})
	i, err := ParseInfo(encode(t, links))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%o %v %q %q %o", i.Files[0].Mode, i.Files[1].HasMode, i.Files[1].Target(), i.Files[2].Target(), i.Files[3].Mode)
	if want := `755 false "./a" "d" 4755`; got != want {
		t.Errorf("files %s, want %s", got, want)
	}
	if got, want := fmt.Sprintf("%+v", i.Dirs), "[{Path:[] Mode:448 HasMode:true} {Path:[e] Mode:0 HasMode:false}]"; got != want || i.Dirs[0].Path != nil {
		t.Errorf("dirs %s, want %s", got, want)
	}
	for name, c := range map[string]struct {
		posix       any
		key, reason string
	}{
		"kind":         {5, "info.posix", "want a dictionary"},
		"modes kind":   {dict{"modes": 5}, "info.posix.modes", "want a string"},
		"modes length": {dict{"modes": "xx"}, "info.posix.modes", "2 bytes, want 2 for each of 2"},
		"modes bits":   {dict{"modes": "\x10\x00\x00\x00"}, "info.posix.modes", "no permission bits"},
		"links kind":   {dict{"links": 5}, "info.posix.links", "want a list"},
		"links count":  {dict{"links": list{"x"}}, "info.posix.links", "1 texts for 0 links"},
		"dirs kind":    {dict{"dirs": dict{}}, "info.posix.dirs", "want a list"},
		"dir kind":     {dict{"dirs": list{"x"}}, "info.posix.dirs[0]", "want a dictionary"},
		"dir no path":  {dict{"dirs": list{dict{}}}, "info.posix.dirs[0].path", "missing"},
		"dir climbs":   {dict{"dirs": list{dict{"path": list{".."}}}}, "info.posix.dirs[0].path", "could leave"},
		"dir mode":     {dict{"dirs": list{dict{"path": list{"x"}, "mode": 0o10000}}}, "info.posix.dirs[0].mode", "no permission bits"},
		"dir negative": {dict{"dirs": list{dict{"path": list{"x"}, "mode": -1}}}, "info.posix.dirs[0].mode", "no permission bits"},
		"dir twice":    {dict{"dirs": list{dict{"path": list{"x"}}, dict{"path": list{"x"}}}}, "info.posix.dirs[1]", "twice"},
		"dir is file":  {dict{"dirs": list{dict{"path": list{"a"}}}}, "info.posix.dirs[0]", "twice"},
		"dir in file":  {dict{"dirs": list{dict{"path": list{"a", "x"}}}}, "info.posix.dirs[0]", "not a folder"},
	} {
		_, err := ParseInfo(encode(t, posix(c.posix)))
		if name == "dir is file" { // which of the two comes second is not told
			if err == nil {
				t.Errorf("%s: accepted", name)
			}
			continue
		}
		wantKeyError(t, name, err, c.key, c.reason)
	}
	_, err = ParseInfo(encode(t, with(links, dict{"posix": dict{"modes": "\x01\xed\x01\xed\xff\xff\xff\xff"}})))
	wantKeyError(t, "mode of a link", err, "info.posix.modes", "is a link")
	_, err = ParseInfo(encode(t, with(links, dict{"posix": dict{"links": list{"a\x00", ""}}})))
	wantKeyError(t, "NUL in a link", err, "info.posix.links[0]", "NUL")
	_, err = ParseInfo(encode(t, with(single1, dict{"posix": dict{"dirs": list{dict{"path": list{}}}}})))
	wantKeyError(t, "dirs of a file", err, "info.posix.dirs", "beside a single file")
}

// TestHostileInfoIsBounded feeds what is small to send and large to hold.
func TestHostileInfoIsBounded(t *testing.T) {
	// A deep folder of very many files: each path costs its depth.
	var deep strings.Builder
	deep.WriteString("d" + strings.Repeat("1:dd", MaxDepth-2))
	for n := range 45_000 {
		fmt.Fprintf(&deep, "6:%06dd0:d6:lengthi0eee", n)
	}
	deep.WriteString(strings.Repeat("e", MaxDepth-1))
	_, err := ParseInfo(encode(t, with(multi2, dict{"file tree": rawValue(deep.String())})))
	if err == nil || !strings.Contains(err.Error(), tooManyElements) {
		t.Errorf("deep folder: %.200v", err)
	}
	// Links to links to links, each of which is followed many times over.
	files := list{dict{"length": 5, "path": list{"a"}}}
	for n := range 3000 {
		target := slices.Repeat(list{"..", fmt.Sprint("l", n/2)}, 90)
		files = append(files, dict{"path": list{fmt.Sprint("l", n)}, "attr": "l", "symlink path": append(list{"d"}, target...)})
	}
	_, err = ParseInfo(encode(t, with(multi1, dict{"files": files})))
	wantKeyError(t, "tangled links", err, "info", "too tangled")
}
