"""Names of 2-D float tensors in well-known checkpoints, as data.

Each line is a file of its own: the tensors that are tables, then those that are not.
"""

from __future__ import annotations

FILES: dict[str, tuple[list[str], list[str]]] = {
    "BERT": (
        [
            "embeddings.word_embeddings.weight",
            "embeddings.position_embeddings.weight",
            "embeddings.token_type_embeddings.weight",
        ],
        [
            "encoder.layer.0.attention.self.query.weight",
            "encoder.layer.0.output.dense.weight",
            "pooler.dense.weight",
            "cls.predictions.decoder.weight",
            "cls.predictions.transform.dense.weight",
        ],
    ),
    "BERT inside sentence-transformers": (
        ["0.auto_model.embeddings.word_embeddings.weight"],
        ["0.auto_model.encoder.layer.0.attention.self.key.weight", "2.linear.weight"],
    ),
    "DistilBERT": (
        ["distilbert.embeddings.word_embeddings.weight"],
        ["vocab_transform.weight", "vocab_projector.weight"],
    ),
    "ELECTRA": (
        ["electra.embeddings.word_embeddings.weight"],
        ["electra.embeddings_project.weight", "generator_predictions.dense.weight"],
    ),
    "ALBERT": (
        ["albert.embeddings.word_embeddings.weight"],
        ["albert.encoder.embedding_hidden_mapping_in.weight"],
    ),
    "Llama": (
        ["model.embed_tokens.weight"],
        ["model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.up_proj.weight"],
    ),
    "Llama, untied": (["model.embed_tokens.weight"], ["lm_head.weight"]),
    "Llama, original": (
        ["tok_embeddings.weight"],
        ["layers.0.attention.wq.weight", "output.weight"],
    ),
    "Llama with LoRA": (
        ["base_model.model.model.embed_tokens.modules_to_save.default.weight"],
        [
            "base_model.model.model.embed_tokens.lora_embedding_A.default",
            "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight",
            "base_model.model.model.embed_tokens.lora_A.default.weight",
        ],
    ),
    "Llama, quantized": (
        ["token_embd.weight"],
        ["embed_tokens.weight_scale", "embed_tokens.scales", "rotary_emb.cos_cached"],
    ),
    "GPT-2": (
        ["transformer.wte.weight", "transformer.wpe.weight"],
        ["transformer.h.0.attn.c_attn.weight", "transformer.h.0.mlp.c_fc.weight"],
    ),
    "GPT-NeoX": (["gpt_neox.embed_in.weight"], ["embed_out.weight"]),
    "T5": (
        ["shared.weight"],
        [
            "encoder.block.0.layer.0.SelfAttention.q.weight",
            "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
            "decoder.block.0.layer.2.DenseReluDense.wi_0.weight",
        ],
    ),
    "BART": (
        [
            "model.shared.weight",
            "model.encoder.embed_tokens.weight",
            "model.decoder.embed_positions.weight",
        ],
        ["model.encoder.layers.0.fc1.weight"],
    ),
    "Mamba": (["backbone.embeddings.weight"], ["backbone.layers.0.mixer.in_proj.weight"]),
    "RWKV": (["emb.weight"], ["blocks.0.att.key.weight", "head.weight"]),
    "CLIP": (
        ["token_embedding.weight", "positional_embedding", "visual.positional_embedding"],
        ["text_projection", "visual.proj", "visual.transformer.resblocks.0.mlp.c_fc.weight"],
    ),
    "SigLIP": (
        ["vision_model.embeddings.position_embedding.weight"],
        ["vision_model.embeddings.patch_embedding.weight", "patch_embed.proj.weight"],
    ),
    "diffusion": (
        ["y_embedder.embedding_table.weight", "class_embedding.weight"],
        [
            "time_embedding.linear_1.weight",
            "time_text_embed.timestep_embedder.linear_1.weight",
            "t_embedder.mlp.0.weight",
            "down_blocks.0.resnets.0.time_emb_proj.weight",
            "img_emb.proj.1.weight",
            "condition_embedder.image_embedder.ff.net.0.proj.weight",
            "time_embed.0.weight",
            "input_blocks.1.0.emb_layers.1.weight",
            "x_embedder.weight",
            "context_embedder.weight",
            "text_embedding.2.weight",
            "label_emb.0.0.weight",
        ],
    ),
    "DETR": (["query_embed.weight"], ["class_embed.weight", "bbox_embed.layers.0.weight"]),
    "DLRM": (["emb_l.0.weight", "emb_l.3.weight"], ["bot_l.0.weight", "top_l.2.weight"]),
    "TorchRec": (
        [
            "model.sparse_arch.embedding_bag_collection.embedding_bags.t_cat_0.weight",
            "embedding_bags.query.weight",
        ],
        [
            "model.dense_arch.model._mlp._layers.0._linear.weight",
            "embedding_bags.t_cat_0.weight_qscale",
            "embedding_bags.t_cat_0.weight_qscaleshift",
        ],
    ),
    "TorchRec's optimizer": (
        ["embedding_bags.t_cat_0.weight"],
        [
            "optim.state.embedding_bags.t_cat_0.weight.momentum1",
            "embedding_bags.t_cat_0.weight.exp_avg",
            "embedding_bags.t_cat_0.weight.exp_avg_sq",
            "embedding_bags.t_cat_0.adagrad.state_sum",
            "embedding_bags.t_cat_0.weight.grad",
            "optimizer.embedding.weight",
            "master_params.embedding.weight",
            "embedding/Adagrad",
            "user_embedding/Adam_1",
        ],
    ),
    "DeepCTR": (
        ["embedding_dict.user_id.weight", "linear_model.embedding_dict.user_id.weight"],
        ["dnn.linears.0.weight", "dnn_linear.weight"],
    ),
    "RecBole": (
        [
            "user_embedding.weight",
            "item_embedding.weight",
            "token_embedding_table.embedding.weight",
            "first_order_linear.token_embedding_table.embedding.weight",
        ],
        ["mlp_layers.mlp_layers.1.weight"],
    ),
    "NCF": (
        ["embed_user_MLP.weight", "embed_item_GMF.weight", "embedding_user.weight"],
        ["MLP_layers.0.weight", "predict_layer.weight"],
    ),
    "SASRec": (["item_emb.weight", "pos_emb.weight"], ["forward_layers.0.conv1.weight"]),
    "BERT4Rec": (["bert.embedding.token.weight"], ["bert.transformer_blocks.0.wq.weight"]),
    "factorization": (["user_factors", "item_factors"], ["biases"]),
    "Spark": (["userFactors", "itemFactors"], ["weights"]),
    "Keras": (
        ["user_embedding/embeddings:0", "embedding_layer/embeddings"],
        ["dense/kernel:0", "dense_embedding/kernel"],
    ),
    "Flax": (["params/shared/embedding"], ["params/encoder/dense/kernel"]),
    "lookup tables": (
        [
            "lookup_table",
            "model.lookup.weight",
            "embeddings.0.weight",
            "embedding_layers.user_id.weight",
        ],
        ["weight", "tower.0.weight"],
    ),
    "knowledge graph": (
        [
            "entity_embedding",
            "ent_embeddings.weight",
            "entity_representations.0._embeddings.weight",
        ],
        ["rel_projection.weight"],
    ),
    "words": (["wv.vectors", "vectors", "glove", "syn0", "syn1neg"], ["hidden"]),
    "model2vec": (["embeddings"], ["probabilities"]),
    "compounds": (
        ["itememb.weight", "UserEmb.weight", "nn.wordembeddings.weight"],
        ["ember.weight"],
    ),
    "heads": (
        ["dense_embedding.weight", "linear_embedding.weight"],
        ["embedding_dense.weight", "embed_fc.weight", "embedding_norm.weight", "unembed.weight"],
    ),
}

WITH_BIAS = {
    "time_embed.0.weight",
    "input_blocks.1.0.emb_layers.1.weight",
    "x_embedder.weight",
    "context_embedder.weight",
    "text_embedding.2.weight",
    "label_emb.0.0.weight",
    "class_embed.weight",
    "bbox_embed.layers.0.weight",
}
"""Those that have a bias beside them."""
