"""gRPC messages and stubs of package broker.v1.

    from broker.gen.broker.v1 import chat_pb2, openai_pb2, openai_pb2_grpc
"""
