"""Of osv-scalibr's test inputs we read what its tests expect; each difference is named here."""

import pytest

from tests.scanning.layers import declared, jar, names, noted, read, tar_of
from tests.scanning.reference_inputs import reference_input

GIN = """github.com/gin-contrib/sse v0.1.0
github.com/gin-gonic/gin v1.8.1
github.com/go-playground/locales v0.14.0
github.com/go-playground/universal-translator v0.18.0
github.com/go-playground/validator/v10 v10.11.1
github.com/leodido/go-urn v1.2.1
github.com/mattn/go-isatty v0.0.16
github.com/pelletier/go-toml/v2 v2.0.6
github.com/ugorji/go/codec v1.2.7
github.com/ulikunitz/xz v0.5.11
golang.org/x/crypto v0.4.0
golang.org/x/net v0.4.0
golang.org/x/text v0.5.0
google.golang.org/protobuf v1.28.1
gopkg.in/yaml.v2 v2.4.0""".splitlines()
"""Expected without the "v", with the library as "go", and with the main module's version "(devel)"."""


@pytest.mark.parametrize(
    "system",
    ["linux-amd64", "linux-arm64", "linux-386", "darwin-amd64", "darwin-arm64", "windows-amd64", "windows-386"],
)
def test_programs_of_go_for_each_system(system: str) -> None:
    modules = reference_input(f"golang/gobinary/testdata/binary_with_modules-{system}")
    replacement = reference_input(f"golang/gobinary/testdata/binary_with_module_replacement-{system}")
    unix = [] if system.startswith("windows") else ["golang.org/x/sys v0.3.0"]

    assert sorted(declared("app", modules)) == sorted([*GIN, *unix, "binary_with_modules ", "stdlib 1.22.0"])
    assert declared("app", replacement) == [
        "stdlib 1.22.0",
        "binary_with_module_replacement ",
        "github.com/golang/xerrors v0.0.0-20220907171357-04be3eba64a2",
    ]


def test_a_large_program_of_go() -> None:
    found = declared("app", reference_input("golang/gobinary/testdata/nginx-ingress-controller"))

    assert len(found) == 80
    assert {"k8s.io/ingress-nginx ", "stdlib 1.23.4", "k8s.io/api v0.32.0", "sigs.k8s.io/yaml v1.4.0"} <= set(found)


def test_programs_of_rust() -> None:
    crates = "itoa 1.0.14,memchr 2.7.4,proc-macro2 1.0.92,quote 1.0.38,ryu 1.0.18,serde 1.0.217,serde_derive 1.0.217"
    more = "serde_json 1.0.135,syn 2.0.95,unicode-ident 1.0.14,uses_json 0.1.0"

    assert declared("app", reference_input("rust/cargoauditable/testdata/uses_serde_json/uses_serde_json")) == [
        *crates.split(","),
        *more.split(","),
    ]
    assert declared("app", reference_input("rust/cargoauditable/testdata/no_deps/no_deps")) == ["no_deps 0.1.0"]
    assert declared("app", reference_input("rust/cargoauditable/testdata/not_binary/not_binary")) == []


@pytest.mark.parametrize(
    ("jar", "expected"),
    [
        ("simple.jar", ["package-name 1.2.3"]),
        ("complex.jar", ["another-package-name 3.2.1", "package-name 1.2.3"]),
        ("guava-31.1-jre.jar", ["guava 31.1-jre"]),
        ("no_pom_properties-2.4.0.jar", ["no_pom_properties 2.4.0"]),
        ("org.eclipse.sisu.inject-0.3.5.jar", ["org.eclipse.sisu.inject 0.3.5"]),
        ("pom_missing_group_id-2.4.0.jar", ["pom_missing_group_id 2.4.0"]),
        ("no_pom_properties.jar", []),
        ("pom_missing_group_id.jar", []),
        ("empty.jar", []),
        # Expected there: nothing, because the file name is looked at only where a test asks for it.
        ("com.google.src.yolo-0.1.2.jar", ["com.google.src.yolo 0.1.2"]),
    ],
)
def test_jars(jar: str, expected: list[str]) -> None:
    assert declared(f"opt/{jar}", reference_input(f"java/archive/testdata/{jar}")) == expected


@pytest.mark.parametrize(
    ("folder", "path", "expected"),
    [
        # Expected there: the group com.google.guava.failureaccess, of which there is none.
        ("manifest-symbolicname", "failureaccess.jar", "com.google.guava:failureaccess 1.0.1"),
        ("combine-manifest-filename", "ivy-2.4.0.jar", "org.apache.ivy:ivy 2.4.0"),
        ("manifest-implementation-title", "a-2.4.0.jar", "org.elasticsearch:a 2.4.0"),
        ("manifest-no-group-id", "a-2.4.0.jar", "a:a 2.4.0"),
    ],
)
def test_manifests_of_jars(folder: str, path: str, expected: str) -> None:
    content = jar({"META-INF/MANIFEST.MF": reference_input(f"java/archive/testdata/{folder}/MANIFEST.MF")})
    (package,) = read(tar_of({path: content})).packages[path]

    assert f"{package.namespace}:{package.name} {package.version}" == expected


def test_jars_that_cannot_be_read_or_are_too_deep() -> None:
    """Ten archives deep is read there, and four here."""
    assert "could not be read" in noted("a.jar", reference_input("java/archive/testdata/invalid_jar.jar"))
    for name in ("nested_at_10.jar", "nested_at_100.jar"):
        assert "deeper than 4" in read(tar_of({"a.jar": reference_input(f"java/archive/testdata/{name}")})).notes[0]


@pytest.mark.parametrize(
    ("file", "path", "expected"),
    [
        ("distinfo_meta", "pip-22.2.2.dist-info/METADATA", ["pip 22.2.2"]),
        ("egginfo_pkginfo", "setuptools.egg/EGG-INFO/PKG-INFO", ["setuptools 57.4.0"]),
        ("egginfo", "pycups-2.0.1.egg-info", ["pycups 2.0.1"]),
        ("pkginfo", "httplib2.egg-info/PKG-INFO", ["httplib2 0.20.4"]),
        ("malformed_pkginfo", "passlib.egg-info/PKG-INFO", ["passlib 1.7.4"]),
        ("mixed_case", "httplib2.dist-info/METADATA", ["httplib2 1.0"]),
        ("special_chars", "a.dist-info/METADATA", ["backports.ssl_match_hostname 3.5.0.1"]),
        ("repeated_pkginfo", "a.egg-info/PKG-INFO", ["root 1.0.0"]),
        ("empty", "a.egg-info/PKG-INFO", []),
        ("monotonic-1.6-py3.10.egg", "monotonic-1.6-py3.10.egg", ["monotonic 1.6"]),
        ("monotonic_no_pkginfo-1.6-py3.10.egg", "monotonic-1.6-py3.10.egg", []),
        # Expected there: monotonic 1.6, though nothing of a wheel is installed.
        ("monotonic-1.6-py2.py3-none-any.whl", "monotonic-1.6-py2.py3-none-any.whl", []),
    ],
)
def test_metadata_of_python(file: str, path: str, expected: list[str]) -> None:
    assert declared(f"site-packages/{path}", reference_input(f"python/wheelegg/testdata/{file}")) == expected


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("package.json", ["testdata 10.46.8"]),
        ("deps/accepts/package.json", ["accepts 1.3.8"]),
        ("deps/no-person-name/package.json", ["accepts 1.3.8"]),
        ("deps/with/deps/acorn/package.json", ["acorn 1.2.2"]),
        ("deps/acorn/package.json", []),
        ("deps/acorn-globals/package.json", []),
        ("deps/window-size/package.json", []),
        ("vscode-extension.json", []),
        ("vscode-extension-only-required.json", []),
        ("unity-package.json", []),
        ("undici-package.json", ["undici 5.28.3"]),
        ("not-vscode.json", ["jsonparse 1.3.1"]),
        ("package-with-deps.json", ["package-with-deps 1.2.3"]),
        ("duplicate-keys.json", ["duplicate-keys 1.0.0"]),
    ],
)
def test_packages_of_node(file: str, expected: list[str]) -> None:
    content = reference_input(f"javascript/packagejson/testdata/{file}")

    assert declared("node_modules/a/package.json", content) == expected


def test_a_damaged_package_of_node() -> None:
    assert "could not be read" in noted(
        "node_modules/a/package.json", reference_input("javascript/packagejson/testdata/invalid")
    )


def test_libraries_of_dotnet() -> None:
    path = "app/TestLibrary.deps.json"
    valid = reference_input("dotnet/depsjson/testdata/valid")
    expected = ["TestLibrary 1.0.0", "AWSSDK.Core 3.7.10.6", "Microsoft.Extensions.DependencyInjection 6.0.0"]

    assert declared(path, valid) == expected
    # Expected there: the project as well, though the application has another name.
    assert declared("app/application1.deps.json", valid) == expected[1:]
    assert declared(path, reference_input("dotnet/depsjson/testdata/nopackagename")) == expected[:2]
    assert declared(path, reference_input("dotnet/depsjson/testdata/editor.deps.json")) == []
    # Expected there: nothing, and no error.
    assert "could not be read" in noted(path, reference_input("dotnet/depsjson/testdata/invalid"))


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("yaml-0.2.1.gemspec", ["yaml 0.2.1"]),
        ("rss-0.2.9.gemspec", ["rss 0.2.9"]),
        # Expected there: an error. RubyGems reads the line "stub" of the first, and would not run the second.
        ("invalid.gemspec", ["rss 0.2.9"]),
        ("badspec.gemspec", ["foo 1.2.3"]),
    ],
)
def test_specifications_of_gems(file: str, expected: list[str]) -> None:
    content = reference_input(f"ruby/gemspec/testdata/{file}")

    assert declared(f"ruby/specifications/{file}", content) == expected


def test_specifications_that_are_programs_are_noted() -> None:
    """The version is a constant of another file, which is looked for there. RubyGems installs none like that."""
    content = reference_input("ruby/gemspec/testdata/version_constant/version_constant.gemspec")

    assert names(read(tar_of({"gems/a-1/a.gemspec": content}))) == []
    assert "it names no gem" in noted("specifications/a.gemspec", content)
    assert "it names no gem" in noted(
        "specifications/a.gemspec", reference_input("ruby/gemspec/testdata/empty.gemspec")
    )
