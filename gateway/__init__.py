"""The edge: speaks the OpenAI Realtime protocol to clients and gRPC to the mesh.

It owns the sessions and nothing else: no model runs here and nothing lasts here.
"""
