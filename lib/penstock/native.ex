defmodule Penstock.Native do
  @moduledoc false
  # Stubs of the functions of the Rust core, and nothing else.

  @on_load :load

  def load do
    :penstock
    |> :code.priv_dir()
    |> Path.join("native/penstock_nif")
    |> String.to_charlist()
    |> :erlang.load_nif(0)
  end

  def server_start(_port, _data_dir, _tag), do: :erlang.nif_error(:not_loaded)
  def server_stop(_resource), do: :erlang.nif_error(:not_loaded)
end
