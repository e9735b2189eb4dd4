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

  def native_times, do: :erlang.nif_error(:not_loaded)
  def native_times_reset, do: :erlang.nif_error(:not_loaded)
  def native_times_clock(_clock), do: :erlang.nif_error(:not_loaded)

  def error_reasons, do: :erlang.nif_error(:not_loaded)

  def server_start(_settings, _tag), do: :erlang.nif_error(:not_loaded)
  def server_stop(_resource), do: :erlang.nif_error(:not_loaded)
  def server_reset(_resource, _tag), do: :erlang.nif_error(:not_loaded)
  def server_fault(_resource, _node, _fault, _tag), do: :erlang.nif_error(:not_loaded)
  def server_states(_resource), do: :erlang.nif_error(:not_loaded)

  def stage_new(_buffer_size, _keep, _dispatcher), do: :erlang.nif_error(:not_loaded)
  def stage_subscribe(_output, _id, _how), do: :erlang.nif_error(:not_loaded)
  def stage_cancel(_output, _id), do: :erlang.nif_error(:not_loaded)
  def stage_holders(_output, _partition, _limit), do: :erlang.nif_error(:not_loaded)
  def stage_ask(_output, _id, _n), do: :erlang.nif_error(:not_loaded)
  def stage_ask_ahead(_output, _id, _n), do: :erlang.nif_error(:not_loaded)
  def stage_take_back(_output, _to, _n), do: :erlang.nif_error(:not_loaded)
  def stage_credit(_output, _id, _n), do: :erlang.nif_error(:not_loaded)
  def stage_share(_output, _id, _dealt, _n), do: :erlang.nif_error(:not_loaded)
  def stage_refill(_output), do: :erlang.nif_error(:not_loaded)
  def stage_counting(_output), do: :erlang.nif_error(:not_loaded)
  def stage_claim(_output), do: :erlang.nif_error(:not_loaded)
  def stage_demand(_output), do: :erlang.nif_error(:not_loaded)
  def stage_demand_of(_output, _id), do: :erlang.nif_error(:not_loaded)
  def stage_buffered(_output), do: :erlang.nif_error(:not_loaded)
  def stage_emit(_output, _n), do: :erlang.nif_error(:not_loaded)
  def stage_emit_on(_output, _n), do: :erlang.nif_error(:not_loaded)
  def stage_next(_output), do: :erlang.nif_error(:not_loaded)
  def stage_take(_output, _most), do: :erlang.nif_error(:not_loaded)
  def stage_split(_output, _new, _counts, _none), do: :erlang.nif_error(:not_loaded)
  def stage_deal_to(_output, _new, _partition, _n), do: :erlang.nif_error(:not_loaded)
  def stage_serve(_output, _partition), do: :erlang.nif_error(:not_loaded)
  def stage_mark_queues(_output), do: :erlang.nif_error(:not_loaded)
  def stage_store(_output, _events, _n, _copy?), do: :erlang.nif_error(:not_loaded)
  def stage_keep(_output, _n), do: :erlang.nif_error(:not_loaded)
  def stage_spill(_output, _events, _n), do: :erlang.nif_error(:not_loaded)
  def stage_off_heap(_output), do: :erlang.nif_error(:not_loaded)
  def stage_extent(_events, _most), do: :erlang.nif_error(:not_loaded)
  def stage_filter(_fields, _events), do: :erlang.nif_error(:not_loaded)
  def stage_mark(_output), do: :erlang.nif_error(:not_loaded)

  def event_store_open_dirty(_connection_string), do: :erlang.nif_error(:not_loaded)
  def event_store_as(_store, _credentials), do: :erlang.nif_error(:not_loaded)
  def event_store_append(_store, _reference, _stream, _expect, _events), do: :erlang.nif_error(:not_loaded)

  def event_store_append_dirty(_store, _reference, _stream, _expect, _events),
    do: :erlang.nif_error(:not_loaded)

  def event_store_read(_store, _reference, _target, _reading), do: :erlang.nif_error(:not_loaded)

  def event_store_delete(_store, _reference, _stream, _deletion, _writing),
    do: :erlang.nif_error(:not_loaded)

  def event_store_answer(_answer, _given), do: :erlang.nif_error(:not_loaded)
  def event_store_answer_dirty(_answer, _given), do: :erlang.nif_error(:not_loaded)

  def json_decode(_text), do: :erlang.nif_error(:not_loaded)
  def json_decode_dirty(_text), do: :erlang.nif_error(:not_loaded)
  def json_encode(_term), do: :erlang.nif_error(:not_loaded)
  def json_encode_dirty(_term), do: :erlang.nif_error(:not_loaded)

  def linear_open(_store, _target, _reading, _wanted), do: :erlang.nif_error(:not_loaded)

  def producer_close(_producer), do: :erlang.nif_error(:not_loaded)
  def producer_subscribe(_producer, _key, _from, _how, _filter), do: :erlang.nif_error(:not_loaded)
  def producer_cancel(_producer, _key), do: :erlang.nif_error(:not_loaded)
  def producer_ask(_producer, _key, _count), do: :erlang.nif_error(:not_loaded)
  def producer_decline(_producer, _key, _count), do: :erlang.nif_error(:not_loaded)
  def producer_serve(_producer), do: :erlang.nif_error(:not_loaded)
  def producer_serve_dirty(_producer), do: :erlang.nif_error(:not_loaded)
  def producer_want(_producer, _count), do: :erlang.nif_error(:not_loaded)
  def producer_take(_producer), do: :erlang.nif_error(:not_loaded)
  def producer_take_dirty(_producer), do: :erlang.nif_error(:not_loaded)
  def producer_demand_of(_producer, _key), do: :erlang.nif_error(:not_loaded)
  def producer_holders(_producer, _partition, _limit), do: :erlang.nif_error(:not_loaded)
  def producer_set_demand(_producer, _mode), do: :erlang.nif_error(:not_loaded)
  def producer_info(_producer), do: :erlang.nif_error(:not_loaded)
end
