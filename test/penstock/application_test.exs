defmodule Penstock.ApplicationTest do
  use ExUnit.Case, async: true

  setup do
    folder = Penstock.Store.temporary_dir()
    File.mkdir_p!(folder)
    %{folder: folder}
  end

  test "inside an archive the Rust core cannot be loaded, which is said", %{folder: folder} do
    escript = Path.join(folder, "my_program")
    File.write!(escript, "")
    why = Penstock.Application.why(Path.join(escript, "penstock/priv/native/penstock_nif.so"))
    assert why =~ "cannot load from inside an archive"
    assert why =~ escript
    assert why =~ "mix release"
  end

  test "a library that was not deployed is named, and so is one that is of another make", %{folder: folder} do
    library = Path.join(folder, "penstock_nif.so")
    assert Penstock.Application.why(library) =~ "there is no #{library}: it is built by mix compile"
    File.write!(library, "")
    assert Penstock.Application.why(library) =~ "#{library} cannot be loaded"
  end
end
